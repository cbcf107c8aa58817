//! What the kernel tells of its peers' sessions, kept for each reader until it has read it.
//!
//! A channel of a fixed size would take its whole room, 66 kB a kernel, for what is nearly always empty. Here only
//! events that somebody has yet to read take room, and no more than [`EVENTS_MAX`] of them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::net::PeerEvent;

/// A stream of [`PeerEvent`]s. A reader that falls more than 1,024 events behind is told how many it missed.
pub struct PeerEvents {
    shared: Arc<Shared>,
    reader: u64,
}

/// A reader of events was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{missed} events were missed")]
#[non_exhaustive]
pub struct Lagged {
    /// How many events were dropped for this reader.
    pub missed: u64,
}

/// The writing end: events go to everyone who has subscribed before. Dropped, it is closed.
pub(crate) struct EventLog {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Notify,
}

#[derive(Default)]
struct Log {
    /// The events that a reader has yet to read.
    events: VecDeque<PeerEvent>,
    /// The number of the first of them.
    first: u64,
    /// The number of the event each reader reads next.
    readers: BTreeMap<u64, u64>,
    subscribed: u64,
    closed: bool,
}

impl Log {
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn push(&mut self, event: PeerEvent) {
        if self.closed || self.readers.is_empty() {
            return;
        }
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
            self.first += 1;
        }
        self.events.push_back(event);
    }

    fn subscribe(&mut self) -> u64 {
        self.subscribed += 1;
        self.readers.insert(self.subscribed, self.end());
        self.subscribed
    }

    fn leave(&mut self, reader: u64) {
        self.readers.remove(&reader);
        self.forget_read();
    }

    /// What a reader reads next; `None` if it has to wait for it.
    fn next(&mut self, reader: u64) -> Option<Result<Option<PeerEvent>, Lagged>> {
        let (first, end) = (self.first, self.end());
        let next = self.readers.get_mut(&reader)?;
        if *next < first {
            let missed = first - std::mem::replace(next, first);
            return Some(Err(Lagged { missed }));
        }
        if *next == end {
            return self.closed.then_some(Ok(None));
        }
        let at = usize::try_from(*next - first).ok()?;
        *next += 1;
        let event = self.events.get(at).cloned();
        if at == 0 {
            self.forget_read();
        }
        Some(Ok(event))
    }

    /// Drops the events that every reader has read, and the room of a flood that is over.
    fn forget_read(&mut self) {
        let unread = self.readers.values().copied().min().unwrap_or_else(|| self.end());
        while self.first < unread {
            self.events.pop_front();
            self.first += 1;
        }
        if self.events.is_empty() {
            self.events.shrink_to(EVENTS_KEPT);
        }
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventLog {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Tells every reader.
    pub(crate) fn send(&self, event: PeerEvent) {
        self.shared.log().push(event);
        self.shared.changed.notify_waiters();
    }

    /// A reader of what is told from now on; nothing, if it is closed.
    pub(crate) fn subscribe(&self) -> PeerEvents {
        PeerEvents { reader: self.shared.log().subscribe(), shared: Arc::clone(&self.shared) }
    }

    /// Nothing more will be told.
    pub(crate) fn close(&self) {
        self.shared.log().closed = true;
        self.shared.changed.notify_waiters();
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl PeerEvents {
    /// The next event, or `None` when the kernel has shut down and every event before that was read.
    ///
    /// # Errors
    ///
    /// [`Lagged`] if events were missed: ask [`Net::peers`](crate::Net::peers) for the present state and go on.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has taken no event.
    pub async fn recv(&mut self) -> Result<Option<PeerEvent>, Lagged> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(next) = self.shared.log().next(self.reader) {
                return next;
            }
            changed.await;
        }
    }
}

impl Drop for PeerEvents {
    fn drop(&mut self) {
        self.shared.log().leave(self.reader);
    }
}

impl fmt::Debug for PeerEvents {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PeerEvents").finish_non_exhaustive()
    }
}

/// What a reader may be behind: every peer of a large mesh that comes up or goes down at once.
const EVENTS_MAX: usize = 1_024;
/// Events that room is kept for while there are none.
const EVENTS_KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeId;

    fn event(messages: u64) -> PeerEvent {
        PeerEvent::Dropped { id: NodeId::new("a").unwrap(), messages }
    }

    fn number(event: &PeerEvent) -> u64 {
        let PeerEvent::Dropped { messages, .. } = event else { panic!("{event:?}") };
        *messages
    }

    async fn next(events: &mut PeerEvents) -> u64 {
        number(&events.recv().await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn every_reader_reads_everything_since_it_subscribed_in_order() {
        let log = EventLog::new();
        log.send(event(0));
        let mut one = log.subscribe();
        log.send(event(1));
        let mut other = log.subscribe();
        log.send(event(2));
        assert_eq!((next(&mut one).await, next(&mut one).await, next(&mut other).await), (1, 2, 2));
        let (waits, ()) = tokio::join!(next(&mut one), async { log.send(event(3)) });
        assert_eq!((waits, next(&mut other).await), (3, 3));
    }

    #[tokio::test]
    async fn a_slow_reader_learns_how_many_it_missed_and_goes_on_with_the_rest() {
        let log = EventLog::new();
        let (mut slow, mut quick) = (log.subscribe(), log.subscribe());
        let sent = EVENTS_MAX as u64 + 10;
        for number in 0..sent {
            log.send(event(number));
            assert_eq!(next(&mut quick).await, number);
        }
        assert_eq!(log.shared.log().events.len(), EVENTS_MAX);
        assert_eq!(slow.recv().await, Err(Lagged { missed: 10 }));
        for number in 10..sent {
            assert_eq!(next(&mut slow).await, number);
        }
    }

    #[tokio::test]
    async fn the_end_comes_after_the_last_event_and_stays() {
        let log = EventLog::new();
        let mut events = log.subscribe();
        log.send(event(1));
        log.close();
        log.send(event(2));
        assert_eq!(next(&mut events).await, 1);
        assert_eq!((events.recv().await, events.recv().await), (Ok(None), Ok(None)));
        assert_eq!(log.subscribe().recv().await, Ok(None));
        let (mut waits, log) = {
            let log = EventLog::new();
            (log.subscribe(), log)
        };
        let (ended, ()) = tokio::join!(waits.recv(), async { drop(log) });
        assert_eq!(ended, Ok(None));
    }

    #[tokio::test]
    async fn what_is_read_or_meant_for_nobody_takes_no_room() {
        let log = EventLog::new();
        let room = || {
            let log = log.shared.log();
            (log.events.len(), log.events.capacity())
        };
        (0..100).for_each(|number| log.send(event(number)));
        assert_eq!(room(), (0, 0));
        let (mut one, gone) = (log.subscribe(), log.subscribe());
        (0..100).for_each(|number| log.send(event(number)));
        for _ in 0..100 {
            next(&mut one).await;
        }
        assert_eq!(room().0, 100, "the other has not read them");
        drop(gone);
        assert!(room().0 == 0 && room().1 <= EVENTS_KEPT, "{:?}", room());
        (0..10).for_each(|number| log.send(event(number)));
        drop(one);
        assert_eq!(room().0, 0);
    }
}
