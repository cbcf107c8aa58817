//! What a link counts, and how it shows itself.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Link;
use crate::net::{Dropped, PeerStatus, Queued, Traffic};

/// Counts since the link was first made.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) messages_sent: AtomicU64,
    pub(crate) messages_received: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) casts_refused: AtomicU64,
    pub(crate) casts_refused_by_peer: AtomicU64,
    pub(crate) dropped_full: AtomicU64,
    pub(crate) dropped_expired: AtomicU64,
    pub(crate) dropped_lost: AtomicU64,
    pub(crate) dropped_closed: AtomicU64,
    pub(crate) dropped_replies: AtomicU64,
    pub(crate) control_dropped: AtomicU64,
    /// Of the messages dropped, those that were reported as an event.
    pub(crate) dropped_reported: AtomicU64,
    pub(crate) sessions: AtomicU64,
}

/// Adds to a count that is only read for display.
pub(crate) fn count(counter: &AtomicU64, more: usize) {
    if more > 0 {
        counter.fetch_add(more as u64, Ordering::Relaxed);
    }
}

impl Counters {
    fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let dropped = self.dropped();
        Traffic {
            messages_sent: read(&self.messages_sent),
            messages_received: read(&self.messages_received),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            casts_refused: read(&self.casts_refused),
            casts_refused_by_peer: read(&self.casts_refused_by_peer),
            messages_dropped: dropped.messages(),
            dropped,
            sessions: read(&self.sessions),
        }
    }

    fn dropped(&self) -> Dropped {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Dropped {
            queue_full: read(&self.dropped_full),
            expired: read(&self.dropped_expired),
            link_lost: read(&self.dropped_lost),
            closed: read(&self.dropped_closed),
            replies: read(&self.dropped_replies),
            control_frames: read(&self.control_dropped),
        }
    }
}

impl Link {
    /// How many messages were dropped since this was last asked.
    pub(crate) fn newly_dropped(&self) -> u64 {
        let dropped = self.counters.dropped().messages();
        dropped - self.counters.dropped_reported.swap(dropped, Ordering::Relaxed)
    }

    pub(crate) fn status(&self) -> PeerStatus {
        let (parked_messages, parked_bytes) = self.parked();
        let state = self.state();
        let connected = state.sessions.sending();
        let peer = state.peer.as_ref();
        let wished = state.wish.as_ref().map(|wish| wish.address.clone());
        let (control, normal, bulk) = state.lanes.depths();
        let queued = |(messages, bytes)| Queued { messages, bytes };
        let spent = state.credit.outstanding();
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        PeerStatus {
            id: self.id().clone(),
            address: wished.or_else(|| peer.map(|peer| peer.node.address.clone())),
            role: peer.map(|peer| peer.role),
            incarnation: peer.filter(|_| connected).map(|peer| peer.node.incarnation),
            connected,
            sessions: state.sessions.len(),
            round_trip: state.round_trip.filter(|_| connected),
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
