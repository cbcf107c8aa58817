//! When a peer that says nothing is asked whether it is there, and when its session is dead.

use std::time::Duration;

use crate::config::Limits;

/// What one session's silence has led to so far.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    asked: Option<Asked>,
    /// It was told to end, how much it had to send when that was last looked at, and since when that has been so.
    ends: Option<(usize, Duration)>,
}

#[derive(Debug)]
struct Asked {
    /// How often the peer had been heard by then. Counted, not timed: the answer may come within the very tick of the
    /// clock in which the question was put.
    heard_times: u64,
    /// On the clock of `look`.
    until: Duration,
}

/// How a session stands at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// For how long nothing was heard.
    pub(crate) silent: Duration,
    /// How often anything was heard.
    pub(crate) heard_times: u64,
    /// It is not read until another session has ended; that one is watched over itself.
    pub(crate) is_held: bool,
    /// The peer has sent its last frame.
    pub(crate) is_over: bool,
    /// Calls made here wait for the peer.
    pub(crate) awaits_replies: bool,
    /// For how long bulk has waited for the peer to read what it was sent before.
    pub(crate) held_up: Duration,
    /// The peer has bulk to read before what is sent to it now.
    pub(crate) is_behind_bulk: bool,
    /// It was told to end.
    pub(crate) ends: Option<Ends>,
    /// No heartbeat was sent for so long that the round trip is to be measured anew.
    pub(crate) heartbeat_is_due: bool,
}

/// How a session stands that was told to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// Nobody waits for what is still under way.
    pub(crate) in_a_hurry: bool,
    /// What is to be sent before.
    pub(crate) left_bytes: usize,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing for so long, unless calls are made or bulk waits for the peer meanwhile.
    Well(Duration),
    /// Nothing yet, but to look again soon.
    Watched,
    /// Send a heartbeat, and look again soon.
    Ask,
    /// End the session: the peer has left a heartbeat unanswered.
    Silent,
    /// End the session: the peer, alive as it is, does not read what it is sent.
    Stalled,
}

impl Silence {
    /// Judges a session by how it stands now, which is counted from any one moment.
    pub(crate) fn look(&mut self, at: &Standing, limits: &Limits, now: Duration) -> Verdict {
        let left = at.ends.map(|ends| self.left_to_end(ends, limits.write_stall, now));
        if left.is_some_and(|left| left.is_zero()) {
            return Verdict::Stalled;
        }
        match (self.judge(at, limits, now), left) {
            (Verdict::Well(until), Some(left)) => Verdict::Well(until.min(left)),
            (verdict, _) => verdict,
        }
    }

    /// How long a session may yet take to end, which was told to and does not get on with it. A peer that lives and reads,
    /// but ever so slowly, or does not answer a GOAWAY, is not waited for without end.
    fn left_to_end(&mut self, ends: Ends, stall: Duration, now: Duration) -> Duration {
        let since = match self.ends {
            Some((left_bytes, since)) if left_bytes == ends.left_bytes => since,
            _ => now,
        };
        self.ends = Some((ends.left_bytes, since));
        let patience = if ends.in_a_hurry { stall } else { stall.saturating_mul(ENDING_STALLS) };
        patience.saturating_sub(now.saturating_sub(since))
    }

    fn judge(&mut self, at: &Standing, limits: &Limits, now: Duration) -> Verdict {
        if at.held_up >= limits.write_stall {
            return Verdict::Stalled;
        }
        if at.is_over {
            // How long the rest of what is sent to it may take is up to the connection.
            return Verdict::Well(limits.heartbeat_idle);
        }
        if let Some(asked) = &self.asked {
            if asked.heard_times == at.heard_times && !at.is_held {
                return if now >= asked.until { Verdict::Silent } else { Verdict::Watched };
            }
            self.asked = None;
        }
        if at.is_held {
            // Nor are the peer's own questions read, and it must not take us for dead.
            return Verdict::Ask;
        }
        let is_busy = at.awaits_replies || !at.held_up.is_zero();
        let patience = if is_busy { limits.heartbeat_busy } else { limits.heartbeat_idle };
        if at.silent >= patience {
            // The peer answers after it has read what is under way. How long that may take is not a matter of heartbeats.
            let behind = if at.is_behind_bulk { limits.write_stall } else { Duration::ZERO };
            let until = now.saturating_add(behind.max(limits.heartbeat_timeout));
            self.asked = Some(Asked { heard_times: at.heard_times, until });
            return Verdict::Ask;
        }
        // One that is never silent is asked now and then, too: the answers tell how far the peer is. One that is silent is
        // not, for it may hear us without being heard, and would take us for alive so much longer.
        if at.heartbeat_is_due && at.silent < limits.heartbeat_busy {
            return Verdict::Ask;
        }
        match (is_busy, at.heartbeat_is_due) {
            (true, _) => Verdict::Watched,
            (false, true) => Verdict::Well(Duration::ZERO),
            (false, false) => Verdict::Well(patience - at.silent),
        }
    }
}

/// Five minutes by default: what fills both systems' buffers takes so long over a line of some 10 kB a second.
const ENDING_STALLS: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// One session, looked at now and then.
    #[derive(Default)]
    struct Looked(Silence);

    impl Looked {
        fn at(&mut self, now: Duration, standing: &Standing) -> Verdict {
            self.0.look(standing, &Limits::default(), now)
        }
    }

    fn silent(silent: Duration) -> Standing {
        Standing { silent, ..Standing::default() }
    }

    #[test]
    fn an_idle_session_is_asked_after_fifteen_seconds_and_dead_five_later() {
        let mut session = Looked::default();
        assert_eq!(session.at(14 * SECOND, &silent(14 * SECOND)), Verdict::Well(SECOND));
        assert_eq!(session.at(15 * SECOND, &silent(15 * SECOND)), Verdict::Ask);
        assert_eq!(session.at(16 * SECOND, &silent(16 * SECOND)), Verdict::Watched);
        assert_eq!(session.at(20 * SECOND, &silent(20 * SECOND)), Verdict::Silent);
    }

    #[test]
    fn a_session_with_calls_is_asked_after_two_seconds() {
        let mut session = Looked::default();
        let waits = |seconds| Standing { awaits_replies: true, ..silent(seconds * SECOND) };
        assert_eq!(session.at(SECOND, &waits(1)), Verdict::Watched);
        assert_eq!(session.at(2 * SECOND, &waits(2)), Verdict::Ask);
        assert_eq!(session.at(7 * SECOND, &waits(7)), Verdict::Silent);
    }

    #[test]
    fn anything_heard_counts_as_the_answer() {
        let mut session = Looked::default();
        assert_eq!(session.at(15 * SECOND, &silent(15 * SECOND)), Verdict::Ask);
        // Within the very tick in which it was asked.
        let heard = Standing { heard_times: 1, ..silent(5 * SECOND) };
        assert_eq!(session.at(20 * SECOND, &heard), Verdict::Well(10 * SECOND));
        assert_eq!(session.at(30 * SECOND, &Standing { silent: 15 * SECOND, ..heard }), Verdict::Ask);
    }

    #[test]
    fn a_session_that_is_not_read_is_not_judged_by_its_silence_and_says_that_it_lives() {
        let mut session = Looked::default();
        assert_eq!(session.at(15 * SECOND, &silent(15 * SECOND)), Verdict::Ask);
        let held = Standing { is_held: true, ..silent(60 * SECOND) };
        for seconds in 60..70 {
            assert_eq!(session.at(seconds * SECOND, &held), Verdict::Ask);
        }
        assert_eq!(session.at(71 * SECOND, &silent(15 * SECOND)), Verdict::Ask, "it is read again");
    }

    #[test]
    fn a_peer_that_has_said_all_is_not_asked_any_more() {
        let mut session = Looked::default();
        assert_eq!(session.at(15 * SECOND, &silent(15 * SECOND)), Verdict::Ask);
        let over = Standing { is_over: true, awaits_replies: true, ..silent(60 * SECOND) };
        assert_eq!(session.at(60 * SECOND, &over), Verdict::Well(15 * SECOND));
        let stuck = Standing { held_up: 10 * SECOND, ..over };
        assert_eq!(session.at(61 * SECOND, &stuck), Verdict::Stalled, "it leaves unread what it is sent");
    }

    #[test]
    fn an_answer_behind_bulk_has_the_time_that_the_bulk_has() {
        let mut session = Looked::default();
        let behind = Standing { is_behind_bulk: true, held_up: SECOND, ..silent(2 * SECOND) };
        assert_eq!(session.at(2 * SECOND, &behind), Verdict::Ask);
        assert_eq!(session.at(11 * SECOND, &behind), Verdict::Watched);
        assert_eq!(session.at(12 * SECOND, &behind), Verdict::Silent);
        let stuck = Standing { held_up: 10 * SECOND, ..Standing::default() };
        assert_eq!(session.at(13 * SECOND, &stuck), Verdict::Stalled);
    }

    #[test]
    fn one_that_is_never_silent_is_measured_now_and_then() {
        let mut session = Looked::default();
        let due = Standing { heartbeat_is_due: true, ..silent(SECOND) };
        assert_eq!(session.at(SECOND, &due), Verdict::Ask);
        assert_eq!(
            session.at(2 * SECOND, &silent(SECOND)),
            Verdict::Well(14 * SECOND),
            "it need not answer that one"
        );
        let quiet = Standing { heartbeat_is_due: true, ..silent(3 * SECOND) };
        assert_eq!(
            session.at(3 * SECOND, &quiet),
            Verdict::Well(Duration::ZERO),
            "it may hear us without being heard"
        );
    }

    #[test]
    fn a_session_that_does_not_get_on_with_its_end_is_not_waited_for_without_end() {
        let ends = |in_a_hurry, left_bytes| Standing {
            ends: Some(Ends { in_a_hurry, left_bytes }),
            ..silent(Duration::ZERO)
        };
        for (in_a_hurry, seconds) in [(true, 10), (false, 300)] {
            let mut session = Looked::default();
            assert_eq!(session.at(SECOND, &silent(Duration::ZERO)), Verdict::Well(15 * SECOND));
            assert_eq!(
                session.at(2 * SECOND, &ends(in_a_hurry, 100)),
                Verdict::Well(15.min(seconds) * SECOND)
            );
            assert_eq!(
                session.at(9 * SECOND, &ends(in_a_hurry, 90)),
                Verdict::Well(15.min(seconds) * SECOND)
            );
            let late = (8 + seconds) * SECOND;
            assert_eq!(session.at(late, &ends(in_a_hurry, 90)), Verdict::Well(SECOND), "{seconds}");
            assert_eq!(session.at(late + SECOND, &ends(in_a_hurry, 90)), Verdict::Stalled, "{seconds}");
        }
    }
}
