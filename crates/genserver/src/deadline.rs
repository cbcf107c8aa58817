//! Deadlines by the million: one sleeping task instead of a timer for each call.
//!
//! Almost every call is answered long before its deadline. So a call only leaves a note of it in a list, and
//! forgets the note; whoever finds the list grown to twice what was alive throws the dead notes away. The sweeper
//! sleeps until the earliest deadline it has been told of, which with one timeout for most calls is as good as
//! never.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::lock::Lock;

/// Something that has to be told when a time has come.
pub(crate) trait Expire: Send + Sync {
    /// The time has come. Gives the next time to be told, if any.
    fn expire(&self, now: Instant) -> Option<Instant>;
}

/// A year: what no limit means where there has to be one. Tokio's timers end before `Instant` does.
pub(crate) const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// All deadlines of a system.
pub(crate) struct Deadlines {
    shards: [Mutex<Shard>; SHARDS],
    earlier: Notify,
}

struct Shard {
    notes: Vec<Note>,
    /// How many notes make it worth looking for dead ones.
    tidy_at: usize,
    /// No note here is due before this.
    earliest: Option<Instant>,
}

struct Note {
    due: Instant,
    whom: Weak<dyn Expire>,
}

impl Note {
    fn is_alive(&self) -> bool {
        self.whom.strong_count() > 0
    }
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        let shard = || Mutex::new(Shard { notes: Vec::new(), tidy_at: TIDY_MIN, earliest: None });
        Self { shards: std::array::from_fn(|_| shard()), earlier: Notify::new() }
    }

    /// Tells `whom`, if it still lives then, at `due` or up to a millisecond after.
    pub(crate) fn add(&self, due: Instant, whom: Weak<dyn Expire>) {
        let mut shard = self.shards[home()].locked();
        shard.notes.push(Note { due, whom });
        if shard.notes.len() >= shard.tidy_at {
            shard.notes.retain(Note::is_alive);
            shard.tidy_at = TIDY_MIN.max(2 * shard.notes.len());
        }
        if shard.earliest.is_none_or(|earliest| due < earliest) {
            shard.earliest = Some(due);
            drop(shard);
            self.earlier.notify_one();
        }
    }

    /// Tells all that are due, for as long as it is polled.
    pub(crate) async fn sweep(&self) {
        loop {
            let next = self.expire(Instant::now());
            let earlier = self.earlier.notified();
            match next {
                None => earlier.await,
                Some(next) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(next) => {}
                        () = earlier => {}
                    }
                }
            }
        }
    }

    /// Tells those that are due and gives the time of the next.
    fn expire(&self, now: Instant) -> Option<Instant> {
        self.shards.iter().filter_map(|shard| expire_shard(shard, now)).min()
    }
}

fn expire_shard(shard: &Mutex<Shard>, now: Instant) -> Option<Instant> {
    let due: Vec<_> = {
        let mut shard = shard.locked();
        if shard.earliest.is_none_or(|earliest| earliest > now) {
            return shard.earliest;
        }
        shard.notes.retain(Note::is_alive);
        let due = shard.notes.extract_if(.., |note| note.due <= now).collect();
        shard.earliest = shard.notes.iter().map(|note| note.due).min();
        due
    };
    let again: Vec<_> = due
        .into_iter()
        .filter_map(|note| {
            let due = note.whom.upgrade()?.expire(now)?;
            Some(Note { due, whom: note.whom })
        })
        .collect();
    let mut shard = shard.locked();
    shard.notes.extend(again);
    shard.earliest = shard.notes.iter().map(|note| note.due).min();
    shard.earliest
}

/// The shard of this thread, so that workers do not wait for each other.
fn home() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HOME: Cell<Option<usize>> = const { Cell::new(None) };
    }
    HOME.with(|home| {
        home.get().unwrap_or_else(|| {
            let mine = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
            home.set(Some(mine));
            mine
        })
    })
}

/// More than the worker threads of most runtimes.
const SHARDS: usize = 16;
/// Notes that are not worth looking through.
const TIDY_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Told at most so often, a second apart.
    struct Counter(AtomicUsize, usize);

    impl Expire for Counter {
        fn expire(&self, now: Instant) -> Option<Instant> {
            let told = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            (told < self.1).then(|| now + SECOND)
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn notes(deadlines: &Deadlines) -> usize {
        deadlines.shards.iter().map(|shard| shard.locked().notes.len()).sum()
    }

    #[tokio::test(start_paused = true)]
    async fn notes_of_what_is_gone_are_thrown_away() {
        let deadlines = Deadlines::new();
        for _ in 0..100_000 {
            let counter: Arc<dyn Expire> = Arc::new(Counter(AtomicUsize::new(0), 1));
            deadlines.add(Instant::now() + SECOND, Arc::downgrade(&counter));
        }
        assert!(notes(&deadlines) < 2 * TIDY_MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_told_when_it_is_due_and_again_if_it_wants() {
        let deadlines = Deadlines::new();
        let counters: Vec<_> = (0..100).map(|_| Arc::new(Counter(AtomicUsize::new(0), 3))).collect();
        let began = Instant::now();
        for (position, counter) in counters.iter().enumerate() {
            let counter: Arc<dyn Expire> = counter.clone();
            let due = began + SECOND * u32::try_from(100 - position).expect("few");
            deadlines.add(due, Arc::downgrade(&counter));
        }
        let all_told = async {
            tokio::time::sleep(SECOND * 103).await;
        };
        tokio::select! {
            () = deadlines.sweep() => {}
            () = all_told => {}
        }
        assert!(counters.iter().all(|counter| counter.0.load(Ordering::Relaxed) == 3));
        assert_eq!(notes(&deadlines), 0);
    }
}
