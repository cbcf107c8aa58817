//! What a link counts, and how it shows itself.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Link;
use crate::metrics::{Counter, Labels};
use crate::net::{Dropped, PeerState, PeerStatus, Queued, Traffic};

/// Counts since the link was first made.
pub(crate) struct Counters {
    pub(crate) messages_sent: Counter,
    pub(crate) messages_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) bytes_received: Counter,
    pub(crate) casts_refused: Counter,
    pub(crate) casts_refused_by_peer: Counter,
    pub(crate) casts_unconfirmed: Counter,
    pub(crate) dropped_full: Counter,
    pub(crate) dropped_expired: Counter,
    pub(crate) dropped_lost: Counter,
    pub(crate) dropped_closed: Counter,
    pub(crate) dropped_replies: Counter,
    pub(crate) dropped_too_large: Counter,
    pub(crate) control_dropped: Counter,
    pub(crate) sessions: Counter,
    pub(crate) reconnects: Counter,
    /// Of the messages dropped, and of the casts unconfirmed, those that were reported as an event.
    pub(crate) dropped_reported: AtomicU64,
    pub(crate) unconfirmed_reported: AtomicU64,
}

/// Adds to a count that is only read for display.
pub(crate) fn count(counter: &Counter, more: usize) {
    if more > 0 {
        counter.add(more as u64);
    }
}

impl Counters {
    pub(super) fn new(labels: Labels<'_>) -> Self {
        let counter = |name| labels.counter(name, &[]);
        let dropped = |reason| labels.counter("netkernel_messages_dropped_total", &[("reason", reason)]);
        Self {
            messages_sent: counter("netkernel_messages_sent_total"),
            messages_received: counter("netkernel_messages_received_total"),
            bytes_sent: counter("netkernel_bytes_sent_total"),
            bytes_received: counter("netkernel_bytes_received_total"),
            casts_refused: counter("netkernel_casts_refused_total"),
            casts_refused_by_peer: counter("netkernel_casts_refused_by_peer_total"),
            casts_unconfirmed: counter("netkernel_casts_unconfirmed_total"),
            dropped_full: dropped("queue_full"),
            dropped_expired: dropped("expired"),
            dropped_lost: dropped("link_lost"),
            dropped_closed: dropped("closed"),
            dropped_replies: dropped("reply"),
            dropped_too_large: dropped("too_large"),
            control_dropped: counter("netkernel_control_frames_dropped_total"),
            sessions: counter("netkernel_sessions_total"),
            reconnects: counter("netkernel_reconnects_total"),
            dropped_reported: AtomicU64::new(0),
            unconfirmed_reported: AtomicU64::new(0),
        }
    }

    fn traffic(&self) -> Traffic {
        let read = Counter::value;
        let dropped = self.dropped();
        Traffic {
            messages_sent: read(&self.messages_sent),
            messages_received: read(&self.messages_received),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            casts_refused: read(&self.casts_refused),
            casts_refused_by_peer: read(&self.casts_refused_by_peer),
            casts_unconfirmed: read(&self.casts_unconfirmed),
            messages_dropped: dropped.messages(),
            dropped,
            sessions: read(&self.sessions),
            reconnects: read(&self.reconnects),
        }
    }

    fn dropped(&self) -> Dropped {
        let read = Counter::value;
        Dropped {
            queue_full: read(&self.dropped_full),
            expired: read(&self.dropped_expired),
            link_lost: read(&self.dropped_lost),
            closed: read(&self.dropped_closed),
            replies: read(&self.dropped_replies),
            too_large: read(&self.dropped_too_large),
            control_frames: read(&self.control_dropped),
        }
    }
}

impl Link {
    /// How many messages were dropped since this was last asked.
    pub(crate) fn newly_dropped(&self) -> u64 {
        let dropped = self.counters.dropped().messages();
        dropped.saturating_sub(self.counters.dropped_reported.fetch_max(dropped, Ordering::Relaxed))
    }

    /// How many casts were written to a session that broke, and may not have arrived, since this was last asked.
    pub(crate) fn newly_unconfirmed(&self) -> u64 {
        let casts = self.counters.casts_unconfirmed.value();
        casts.saturating_sub(self.counters.unconfirmed_reported.fetch_max(casts, Ordering::Relaxed))
    }

    pub(crate) fn status(&self) -> PeerStatus {
        let (parked_messages, parked_bytes) = self.parked();
        let state = self.state();
        let connected = state.sessions.sending();
        let peer = state.peer.as_ref();
        let wished = state.wish.as_ref().map(|wish| wish.address.clone());
        let (control, normal, bulk) = state.lanes.depths();
        let sessions = state.sessions.len();
        let queued = |(messages, bytes)| Queued { messages, bytes };
        let spent = state.credit.outstanding();
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        PeerStatus {
            id: self.id().clone(),
            address: wished.clone().or_else(|| {
                peer.map(|peer| &peer.node.address).filter(|address| address.port() != 0).cloned()
            }),
            role: peer.map(|peer| peer.role),
            incarnation: peer.filter(|_| connected).map(|peer| peer.node.incarnation),
            state: match (connected, sessions, &wished) {
                (true, ..) => PeerState::Connected,
                (false, 1.., _) => PeerState::Changing,
                (false, 0, Some(_)) => PeerState::Away,
                (false, 0, None) => PeerState::Unwanted,
            },
            connected,
            sessions,
            round_trip: state.round_trip.took().filter(|_| connected),
            queued_messages: state.lanes.messages(),
            queued_bytes: state.lanes.bytes(),
            queued_control: control,
            queued_normal: queued(normal),
            queued_bulk: queued(bulk),
            casts_unacknowledged: queued((count(spent.messages), count(spent.bytes))),
            casts_held: queued((parked_messages, parked_bytes)),
            calls_pending: self.calls.len(),
            calls_executing: state.inbound.len(),
            traffic: self.counters.traffic(),
        }
    }
}
