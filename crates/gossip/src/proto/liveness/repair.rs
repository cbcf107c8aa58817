//! Repair of what the news has missed, and of what standing still would spoil.

use netkernel::NodeId;

use super::peers::State;
use super::signal::{Claim, Report, Signal, Talk};
use super::swim::{REPORTS_TAKEN_MAX, Swim};

impl Swim {
    /// Adds a member that is down to what another is asked. News reaches all but by accident, and is told no longer once
    /// it is stale: whoever missed it, or came later, would find out by itself only in its own round.
    pub(super) fn repeat_one(&mut self, to: &NodeId, news: &mut Vec<Report>) {
        if !self.pace.lifeguard || self.peers.down_count() == 0 {
            return;
        }
        let Some(id) = self.peers.any_down(&mut self.random) else { return };
        if id == *to || news.iter().any(|report| report.id == id) {
            return;
        }
        news.extend(self.peers.get(&id).and_then(|peer| peer.accusation(&id)));
    }

    /// What the sender of a question has missed. Other messages are not corrected: of news on its way all would be.
    pub(super) fn corrections(&self, signal: &Signal) -> Vec<Report> {
        let asks = matches!(signal.talk, Talk::Ping { .. });
        let said = signal.news.iter().take(REPORTS_TAKEN_MAX).filter(|_| asks);
        said.filter_map(|report| self.correction(report)).take(CORRECTIONS_MAX).collect()
    }

    /// What is known better here than by the member that says this: it has missed a refutation.
    fn correction(&self, said: &Report) -> Option<Report> {
        let peer = self.peers.get(&said.id).filter(|_| self.pace.lifeguard)?;
        let is_outdated = said.incarnation == peer.incarnation && said.counter < peer.counter;
        if !is_outdated || said.claim == Claim::Alive || !matches!(peer.state, State::Alive) {
            return None;
        }
        Some(Report { counter: peer.counter, claim: Claim::Alive, ..said.clone() })
    }

    /// This node was not woken when it wanted to be: what it waited for may be here and unread. Every wait is as much
    /// longer, so that a node that was frozen accuses nobody of its own absence; after a long one it tells the others
    /// that it is there before they have to ask.
    pub(super) fn forgive(&mut self, due_ms: Option<u64>, now_ms: u64) {
        let late_ms = due_ms.map_or(0, |due| now_ms.saturating_sub(due));
        if late_ms < LATE_MS || !self.pace.lifeguard {
            return;
        }
        self.shift_suspicions(late_ms);
        self.probes.shift(late_ms);
        if late_ms >= self.pace.interval_ms {
            self.health.worse(1);
        }
        if late_ms >= self.pace.suspicion_min_ms(self.peers.members()) {
            self.raise_counter();
        }
    }
}

/// What is put right in one answer.
const CORRECTIONS_MAX: usize = 16;

/// Being woken later than this is not the operating system's ordinary jitter.
const LATE_MS: u64 = 100;
