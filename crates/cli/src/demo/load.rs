//! Callers that call all the time, and what they saw.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use clusterluck::netkernel::NodeId;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::caller::{Answered, Caller};

/// Callers at work until they are told to stop.
pub(super) struct Load {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    tally: Mutex<Tally>,
}

/// What was seen since the last [`take`](Load::take).
#[derive(Default)]
pub(super) struct Tally {
    /// How long each call took that was answered.
    pub(super) times: Vec<Duration>,
    /// Calls that another than the owner answered, by owner.
    pub(super) by_replica: BTreeMap<NodeId, u64>,
    /// When each node first answered.
    pub(super) first_answer: BTreeMap<NodeId, Instant>,
    /// When another than the owner first answered.
    pub(super) first_by_replica: Option<Instant>,
    /// Why calls were not answered at all.
    pub(super) lost: Vec<String>,
}

impl Load {
    /// Sets `callers` to work on the keys `user:0` to `user:{keys - 1}`.
    pub(super) fn start(caller: &Caller, callers: usize, keys: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let mut tasks = JoinSet::new();
        for first in 0..callers {
            let (caller, shared) = (caller.clone(), Arc::clone(&shared));
            tasks.spawn(async move {
                let mut pace = tokio::time::interval(PACE);
                pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                // Each caller walks through the keys by a stride of its own, so that they do not go in step.
                let mut at = first;
                while !shared.stop.load(Ordering::Relaxed) {
                    pace.tick().await;
                    at = (at + 2 * first + 1) % keys;
                    let called = caller.call(&format!("user:{at}")).await;
                    shared.tally().add(called);
                }
            });
        }
        Self { tasks, shared }
    }

    /// Looks at what was seen so far.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.shared.tally())
    }

    /// What was seen so far; from now on everything is counted anew.
    pub(super) fn take(&self) -> Tally {
        std::mem::take(&mut *self.shared.tally())
    }

    /// Ends the callers after the call each is at, and gives what was seen.
    pub(super) async fn stop(mut self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        self.take()
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    pub(super) fn add(&mut self, called: Result<Answered>) {
        match called {
            Ok(Answered { owner, by, took }) => {
                let now = Instant::now();
                self.times.push(took);
                if by != owner {
                    *self.by_replica.entry(owner).or_default() += 1;
                    self.first_by_replica.get_or_insert(now);
                }
                self.first_answer.entry(by).or_insert(now);
            }
            Err(error) => self.lost.push(format!("{error:#}")),
        }
    }

    /// What was seen later, put to what was seen before.
    pub(super) fn join(&mut self, later: Self) {
        self.times.extend(later.times);
        for (owner, calls) in later.by_replica {
            *self.by_replica.entry(owner).or_default() += calls;
        }
        self.lost.extend(later.lost);
    }

    /// How long a call took that is slower than this part of all, 0.5 for the median.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a part of 0 to 1 of a count far below 2^52"
    )]
    pub(super) fn quantile(&self, part: f64) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = (part * times.len().saturating_sub(1) as f64).round() as usize;
        times.get(at).copied().unwrap_or_default()
    }
}

/// How often each caller calls: enough to see every gap, little enough to leave the machine to the nodes.
const PACE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let times = [5, 1, 4, 2, 3].map(Duration::from_micros).to_vec();
        let tally = Tally { times, ..Tally::default() };
        assert_eq!([0.0, 0.5, 1.0].map(|part| tally.quantile(part).as_micros()), [1, 3, 5]);
        assert_eq!(Tally::default().quantile(0.5), Duration::ZERO);
    }
}
