//! What a node does about claims against itself.

use netkernel::NodeId;

use super::detector::Output;
use super::signal::{Claim, Report, Signal, Talk};
use super::swim::Swim;

impl Swim {
    /// Says that this node is there, above what was said of it.
    pub(super) fn refute(&mut self, report: &Report) {
        let is_claim = report.claim != Claim::Alive && report.incarnation == self.incarnation;
        if is_claim && is_next(self.counter, report.counter) && !self.stopping {
            self.counter = report.counter.saturating_add(1);
            self.health.worse(1);
            self.say_alive();
        }
    }

    fn say_alive(&mut self) {
        let report = self.own_report();
        self.news.add(report);
    }

    fn own_report(&self) -> Report {
        let (id, incarnation, counter) = (self.me.clone(), self.incarnation, self.counter);
        Report { id, incarnation, counter, claim: Claim::Alive }
    }

    /// Says something to a member that holds a claim against this node, and first that this node is there.
    pub(super) fn answer_accused(&mut self, to: &NodeId, talk: Talk) {
        let mut news = self.news.take(to, self.peers.members());
        if self.pace.lifeguard {
            news.retain(|report| report.id != self.me);
            news.insert(0, self.own_report());
        }
        self.outputs.push_back(Output::Send { to: to.clone(), signal: Signal { talk, news } });
    }

    /// Says that this node is there, above whatever may have been said of it.
    pub(super) fn raise_counter(&mut self) {
        self.counter = self.counter.saturating_add(1);
        self.say_alive();
    }
}

/// Whether a counter may follow a known one. The next is one above; one that is far above was never reached by refuting, and
/// taken for true it would leave no room to refute any more.
pub(super) fn is_next(known: u64, said: u64) -> bool {
    said.checked_sub(known).is_some_and(|leap| leap <= LEAP_MAX)
}

/// A refutation a second takes a hundred years to get so far.
const LEAP_MAX: u64 = u32::MAX as u64;
