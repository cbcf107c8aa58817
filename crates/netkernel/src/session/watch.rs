//! One clock for all sessions of a kernel: each with timers of its own, the idle sessions of a large mesh would not let
//! the process sleep.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::records::Heard;
use crate::call::deadline_after;
use crate::config::Limits;
use crate::link::{Kill, Link};
use crate::net::DownReason;
use crate::proto::hello::SessionId;
use crate::proto::silence::{Silence, Standing, Verdict};

/// The sessions of one kernel, to be looked after.
pub(crate) struct Watch {
    /// When the kernel began, from which its beats count.
    epoch: Instant,
    beat: Duration,
    sessions: Mutex<Watched>,
    /// The last session has gone.
    emptied: Notify,
}

#[derive(Default)]
struct Watched {
    next: u64,
    by_number: BTreeMap<u64, (Arc<One>, Due)>,
}

/// When a session is to be looked at, unless it needs attention before.
type Due = Instant;

/// What is needed to judge a session.
pub(super) struct One {
    pub(super) link: Arc<Link>,
    pub(super) session: SessionId,
    pub(super) heard: Arc<Heard>,
    pub(super) kill: Kill,
    /// Tells the layers above of what was lost.
    pub(super) report: Box<dyn Fn() + Send + Sync>,
    pub(super) silence: Mutex<Silence>,
}

/// Keeps a session watched.
pub(super) struct Watching {
    watch: Arc<Watch>,
    number: u64,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut sessions = self.watch.sessions();
        sessions.by_number.remove(&self.number);
        if sessions.by_number.is_empty() {
            self.watch.emptied.notify_waiters();
        }
    }
}

impl Watch {
    pub(crate) fn new(epoch: Instant, limits: &Limits) -> Self {
        let times = [limits.heartbeat_busy, limits.heartbeat_idle, limits.heartbeat_timeout];
        let shortest = times.into_iter().min().unwrap_or(BEAT_MAX);
        let beat = (shortest / 2).clamp(BEAT_MIN, BEAT_MAX);
        Self { epoch, beat, sessions: Mutex::default(), emptied: Notify::new() }
    }

    fn sessions(&self) -> MutexGuard<'_, Watched> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn over(self: &Arc<Self>, session: One) -> Watching {
        let mut sessions = self.sessions();
        let number = sessions.next;
        sessions.next += 1;
        sessions.by_number.insert(number, (Arc::new(session), Instant::now()));
        drop(sessions);
        Watching { watch: Arc::clone(self), number }
    }

    /// Looks after the sessions until the kernel closes and the last of them has gone. `also` is done at each look.
    pub(crate) async fn run(&self, limits: &Limits, closing: &CancellationToken, also: impl Fn()) {
        let mut at_leisure = true;
        let mut awake = Awake { stood_still: Duration::ZERO, since: self.epoch };
        loop {
            let step = if at_leisure { 2 * self.beat } else { self.beat };
            // Waits count from beat to beat: a moment's delay of one does not make them a beat longer.
            let beat = next_beat(self.epoch, Instant::now() + TICK, step);
            tokio::select! {
                () = self.over_and_gone(closing) => return,
                () = tokio::time::sleep_until(beat) => {}
            }
            also();
            // By the beat and not by now, but for the time in which the process did nothing and no peer could be heard.
            let since_epoch = beat.saturating_duration_since(self.epoch).saturating_sub(awake.stood_still);
            awake.at(beat, Instant::now(), step);
            at_leisure = true;
            for (number, session) in self.due() {
                let until = match session.look(limits, since_epoch, awake.since) {
                    Verdict::Well(until) => until,
                    _ => {
                        at_leisure = false;
                        Duration::ZERO
                    }
                };
                self.postpone(number, until);
            }
        }
    }

    /// The sessions to look at now. In a large mesh they are few, and of the others nothing is touched but what says so.
    fn due(&self) -> Vec<(u64, Arc<One>)> {
        let (sessions, now) = (self.sessions(), Instant::now());
        let is_due =
            |(_, (session, due)): &(&u64, &(Arc<One>, Due))| now >= *due || session.link.needs_attention();
        let due = sessions.by_number.iter().filter(is_due);
        due.map(|(number, (session, _))| (*number, Arc::clone(session))).collect()
    }

    /// How often each session of a link was heard so far.
    pub(crate) fn heard(&self, link: &Arc<Link>) -> BTreeMap<SessionId, u64> {
        let sessions = self.sessions();
        let of_it = sessions.by_number.values().filter(|(one, _)| Arc::ptr_eq(&one.link, link));
        of_it.map(|(one, _)| (one.session, one.heard.times())).collect()
    }

    fn postpone(&self, number: u64, until: Duration) {
        if let Some((_, due)) = self.sessions().by_number.get_mut(&number) {
            *due = deadline_after(until);
        }
    }

    async fn over_and_gone(&self, closing: &CancellationToken) {
        closing.cancelled().await;
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.sessions().by_number.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

impl One {
    fn look(&self, limits: &Limits, beat: Duration, awake_since: Instant) -> Verdict {
        self.link.gets_attention();
        let now = Instant::now();
        let mut standing = Standing {
            silent: self.heard.silence(),
            heard_times: self.heard.times(),
            is_held: self.heard.is_held(),
            is_over: self.heard.is_over(),
            ..self.link.standing(self.session, now)
        };
        standing.held_up = standing.held_up.min(now.saturating_duration_since(awake_since));
        // After the link's lock was held, under which losses are counted and attention is drawn: one that is not seen here
        // has drawn it anew.
        (self.report)();
        let verdict =
            self.silence.lock().unwrap_or_else(PoisonError::into_inner).look(&standing, limits, beat);
        match verdict {
            Verdict::Well(_) | Verdict::Watched => {}
            Verdict::Ask => self.link.heartbeat(),
            Verdict::Silent => self.kill.now(DownReason::Silent),
            Verdict::Stalled => self.kill.now(DownReason::Stalled),
        }
        verdict
    }
}

/// How much of the time since the kernel began the process was not there: stopped, or on a machine that slept. What a
/// peer did not do in it is not the peer's fault.
struct Awake {
    stood_still: Duration,
    since: Instant,
}

impl Awake {
    /// A beat came at `now`, and the next one is a step later at most.
    fn at(&mut self, beat: Instant, now: Instant, step: Duration) {
        let late = now.saturating_duration_since(beat);
        if late >= step {
            self.stood_still += late;
            self.since = now;
        }
    }
}

/// The first beat that is not before `at`.
fn next_beat(epoch: Instant, at: Instant, beat: Duration) -> Instant {
    let into_beat_ns = at.saturating_duration_since(epoch).as_nanos() % beat.as_nanos().max(1);
    let into_beat = Duration::from_nanos(u64::try_from(into_beat_ns).unwrap_or(u64::MAX));
    if into_beat.is_zero() { at } else { at + beat.saturating_sub(into_beat) }
}

/// No more often than this, however short the heartbeats are.
const BEAT_MIN: Duration = Duration::from_millis(10);
/// No more rarely than this while a session is busy or was asked, however long they are; half as often otherwise.
const BEAT_MAX: Duration = Duration::from_secs(1);
/// The finest step of the clock.
const TICK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_are_looked_after_at_the_same_beats() {
        let epoch = Instant::now();
        let beat = Duration::from_millis(500);
        let beat_after = |ms| next_beat(epoch, epoch + Duration::from_millis(ms), beat) - epoch;
        assert_eq!([0, 1, 499, 500, 501].map(|ms| beat_after(ms).as_millis()), [0, 500, 500, 500, 1_000]);
        let later = epoch + Duration::from_millis(7);
        assert_eq!(next_beat(later, epoch, beat), epoch, "the kernel began before its sessions");
    }
}
