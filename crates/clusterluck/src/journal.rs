//! The last events of a node, kept for those who watch it from outside.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use netkernel::PeerEvent;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::control::{Place, Watched, WatchedEvent};
use crate::events::{Event, Events};
use crate::told::{Told, missed, told};

/// A bounded log of events, numbered from 0.
pub(crate) struct Journal {
    /// Tells this run of the node from others.
    run: u64,
    log: Mutex<Log>,
    /// The number of the next event.
    next: watch::Sender<u64>,
}

#[derive(Default)]
struct Log {
    events: VecDeque<(Instant, Told)>,
    /// The number of the first event that is still there.
    first: u64,
}

impl Journal {
    pub(crate) fn new(run: u64) -> Self {
        Self { run, log: Mutex::default(), next: watch::Sender::new(0) }
    }

    /// Writes down what happens until the node stops.
    pub(crate) async fn keep(&self, mut events: Events) {
        loop {
            match events.recv().await {
                Ok(Some(event)) if is_repeated(&event) => {}
                Ok(Some(event)) => self.put(told(&event)),
                Ok(None) => return,
                Err(lost) => self.put(missed(lost.count)),
            }
        }
    }

    fn put(&self, told: Told) {
        let next = self.with(|log| {
            if log.events.len() == EVENTS_MAX {
                log.events.pop_front();
                log.first += 1;
            }
            log.events.push_back((Instant::now(), told));
            log.next()
        });
        self.next.send_replace(next);
    }

    /// What happened from that place on, waiting until something has; of a place in another run, at once what has
    /// happened in this one: that it is another is news. Whoever waits sets a deadline of its own.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, nothing is lost: the place stays good.
    pub(crate) async fn since(&self, from: Option<Place>) -> Watched {
        let from = match from {
            None => return self.read(u64::MAX),
            Some(place) if place.run != self.run => return self.read(0),
            Some(place) => place.next,
        };
        let mut next = self.next.subscribe();
        // The journal lives as long as this borrow of it: its sender is there.
        drop(next.wait_for(|next| *next > from).await);
        self.read(from)
    }

    /// What has happened from that event on.
    pub(crate) fn read(&self, from: u64) -> Watched {
        let now = Instant::now();
        self.with(|log| {
            let from = from.min(log.next());
            let start = from.max(log.first);
            let kept = usize::try_from(start - log.first).unwrap_or(usize::MAX);
            let events = log.events.iter().skip(kept).map(|(at, told)| WatchedEvent {
                age_ms: u64::try_from(now.saturating_duration_since(*at).as_millis()).unwrap_or(u64::MAX),
                event: told.event.to_owned(),
                node: told.node.as_ref().map(ToString::to_string),
                details: told
                    .details
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect(),
            });
            Watched {
                events: events.collect(),
                missed: start - from,
                place: Place { run: self.run, next: log.next() },
            }
        })
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Log) -> T) -> T {
        use_it(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Log {
    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

/// Whether it says again what was said before: that a peer is still out of reach is told ever more rarely, or a single
/// one that is away would push everything else out of the journal.
fn is_repeated(event: &Event) -> bool {
    matches!(event, Event::Link(PeerEvent::Unreachable { attempt, .. }) if !attempt.is_power_of_two())
}

/// What a watcher may fall behind, or miss of a node it has lost sight of.
const EVENTS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Told {
        missed(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_goes_on_where_it_was() {
        let journal = Journal::new(7);
        // Another run is news, though nothing has happened in it yet.
        let since = journal.since(Some(Place { run: 6, next: 40 }));
        let restarted = tokio::time::timeout(std::time::Duration::from_secs(1), since).await.unwrap();
        assert_eq!((restarted.place, restarted.events.len()), (Place { run: 7, next: 0 }, 0));
        journal.put(event());
        let now = journal.since(None).await;
        assert_eq!((now.place, now.events.len()), (Place { run: 7, next: 1 }, 0));
        journal.put(event());
        tokio::time::advance(std::time::Duration::from_millis(20)).await;
        let watched = journal.since(Some(now.place)).await;
        assert_eq!((watched.place.next, watched.missed, watched.events[0].age_ms), (2, 0, 20));
        // Of another run of the node everything is news.
        assert_eq!(journal.since(Some(Place { run: 6, next: 40 })).await.events.len(), 2);
    }

    #[test]
    fn a_peer_that_stays_away_is_told_of_ever_more_rarely() {
        let id: netkernel::NodeId = "n".parse().unwrap();
        let repeated = |attempt| {
            is_repeated(&Event::Link(PeerEvent::Unreachable { id: id.clone(), attempt, refused: true }))
        };
        let told: Vec<u32> = (1..=64).filter(|attempt| !repeated(*attempt)).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_forgotten_is_counted() {
        let journal = Journal::new(7);
        for _ in 0..EVENTS_MAX + 10 {
            journal.put(event());
        }
        let watched = journal.since(Some(Place { run: 7, next: 4 })).await;
        assert_eq!((watched.missed, watched.events.len()), (6, EVENTS_MAX));
    }
}
