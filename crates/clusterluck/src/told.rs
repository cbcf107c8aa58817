//! Events put into words that travel: a name each, the node it is about, and details by name.

use gossip::{Event as RingEvent, Standing};
use netkernel::{NodeId, PeerEvent};

use crate::events::Event;

/// An event in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) event: &'static str,
    pub(crate) node: Option<NodeId>,
    pub(crate) details: Vec<(&'static str, String)>,
}

impl Told {
    fn of(event: &'static str) -> Self {
        Self { event, node: None, details: Vec::new() }
    }

    fn about(event: &'static str, node: &NodeId) -> Self {
        Self { event, node: Some(node.clone()), details: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.details.push((name, value.to_string()));
        self
    }
}

/// The event in words.
pub(crate) fn told(event: &Event) -> Told {
    match event {
        Event::Ring(event) => of_ring(event),
        Event::Link(event) => of_link(event),
    }
}

/// Events were lost before they could be put into words.
pub(crate) fn missed(count: u64) -> Told {
    Told::of("events_missed").with("count", &count)
}

fn of_ring(event: &RingEvent) -> Told {
    match event {
        RingEvent::RingChanged { old, new, .. } => {
            let told =
                Told::of("ring_changed").with("nodes", &new.len()).with("fingerprint", &new.fingerprint());
            match old.diff(new) {
                Ok(moves) => {
                    // Not a sum, which of nothing is -0.0.
                    let moved = moves.iter().fold(0.0, |all, moved| all + moved.range.share().as_f64());
                    told.with("moved_percent", &format_args!("{:.1}", moved * 100.0))
                }
                Err(_) => told,
            }
        }
        RingEvent::MemberUp { id, address, incarnation } => {
            Told::about("member_up", id).with("address", address).with("incarnation", incarnation)
        }
        RingEvent::Suspect { id } => Told::about("member_suspect", id),
        RingEvent::Trusted { id } => Told::about("member_trusted", id),
        RingEvent::Down { id } => Told::about("member_down", id),
        RingEvent::MinorityPartition { reachable, members } => {
            Told::of("minority_partition").with("reachable", reachable).with("members", members)
        }
        RingEvent::MajorityReachable { reachable, members } => {
            Told::of("majority_reachable").with("reachable", reachable).with("members", members)
        }
        RingEvent::Left { id } => Told::about("member_left", id),
        RingEvent::Removed { id, by } => Told::about("member_removed", id).with("by", by),
        RingEvent::Evicted { ring } => Told::of("evicted").with("ring", ring),
        RingEvent::Goodbye { id } => Told::about("goodbye", id),
        RingEvent::Conflict { id, siblings, chosen } => {
            let told = Told::about("conflict", id).with("siblings", &siblings.len());
            match siblings.get(*chosen) {
                Some((writer, Standing::Member(_))) => told.with("chosen", &"member").with("by", writer),
                Some((writer, _)) => told.with("chosen", &"removed").with("by", writer),
                None => told,
            }
        }
        RingEvent::InviteRefused { id, reason } => Told::about("invite_refused", id).with("reason", reason),
        RingEvent::ForeignRing { id, ring } => {
            let told = Told::about("foreign_ring", id);
            ring.iter().fold(told, |told, ring| told.with("ring", ring))
        }
        RingEvent::ConfigMismatch { id } => Told::about("config_mismatch", id),
        RingEvent::DuplicateId { id } => Told::about("duplicate_id", id),
        RingEvent::Skew { id, ahead_ms } => Told::about("clock_skew", id).with("ahead_ms", ahead_ms),
        RingEvent::Converged { members } => Told::of("converged").with("members", members),
        RingEvent::BadFrame { id, error } => Told::about("bad_frame", id).with("error", error),
        RingEvent::NotStored { reason } => Told::of("not_stored").with("reason", reason),
        RingEvent::RingCrowded { points } => Told::of("ring_crowded").with("points", points),
        RingEvent::RingRefused { error } => Told::of("ring_refused").with("error", error),
        // Of a layer newer than this list.
        other => Told::of("ring_event").with("event", &format_args!("{other:?}")),
    }
}

fn of_link(event: &PeerEvent) -> Told {
    match event {
        PeerEvent::Up { peer } => {
            Told::about("link_up", &peer.node.id).with("role", &peer.role).with("address", &peer.node.address)
        }
        PeerEvent::Down { peer, reason } => Told::about("link_down", &peer.node.id).with("reason", reason),
        PeerEvent::Duplicate { id, refused } => {
            Told::about("duplicate_refused", id).with("incarnation", refused)
        }
        PeerEvent::RefusedAsDuplicate { address, incumbent } => {
            Told::of("refused_as_duplicate").with("address", address).with("incarnation", incumbent)
        }
        PeerEvent::Unreachable { id, attempt, refused } => {
            Told::about("link_unreachable", id).with("attempt", attempt).with("refused", refused)
        }
        PeerEvent::Dropped { id, messages } => Told::about("messages_dropped", id).with("count", messages),
        PeerEvent::Unconfirmed { id, casts } => Told::about("casts_unconfirmed", id).with("count", casts),
        other => Told::of("link_event").with("event", &format_args!("{other:?}")),
    }
}
