//! Asking members whether they are there: directly, then through others, and for others.

use std::collections::{BTreeMap, VecDeque};

use netkernel::NodeId;

use super::signal::Talk;
use super::swim::Swim;

/// The questions under way.
#[derive(Debug)]
pub(super) struct Probes {
    next_seq: u32,
    own: BTreeMap<u32, Probe>,
    /// Asked for others.
    relayed: BTreeMap<u32, Relay>,
    /// To be asked before it is their turn.
    hurried: VecDeque<NodeId>,
}

#[derive(Debug)]
struct Probe {
    target: NodeId,
    /// When others are asked; `None` once they were.
    direct_until_ms: Option<u64>,
    ends_ms: u64,
    /// How many were asked, and how many of these have said that they are there.
    asked: u32,
    nacks: u32,
}

#[derive(Debug)]
struct Relay {
    target: NodeId,
    asker: NodeId,
    seq: u32,
    /// When the asker is told that there was no answer; `None` once it was.
    nack_at_ms: Option<u64>,
    ends_ms: u64,
}

impl Probe {
    fn due_ms(&self) -> u64 {
        self.direct_until_ms.unwrap_or(self.ends_ms).min(self.ends_ms)
    }
}

impl Relay {
    fn due_ms(&self) -> u64 {
        self.nack_at_ms.unwrap_or(self.ends_ms)
    }
}

impl Probes {
    /// A random start keeps the answers to an earlier run apart.
    pub(super) fn starting_at(seq: u32) -> Self {
        Self { next_seq: seq, own: BTreeMap::new(), relayed: BTreeMap::new(), hurried: VecDeque::new() }
    }

    pub(super) fn next_seq(&mut self) -> u32 {
        self.next_seq = self.next_seq.wrapping_add(1);
        self.next_seq
    }

    /// Something happened to its session.
    pub(super) fn hurry(&mut self, id: NodeId) {
        if self.hurried.len() < HURRIED_MAX && !self.hurried.contains(&id) {
            self.hurried.push_back(id);
        }
    }

    pub(super) fn forget(&mut self, id: &NodeId) {
        self.own.retain(|_, probe| probe.target != *id);
        self.relayed.retain(|_, relay| relay.target != *id && relay.asker != *id);
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        let own = self.own.values().map(Probe::due_ms);
        own.chain(self.relayed.values().map(Relay::due_ms)).min()
    }

    pub(super) fn shift(&mut self, ms: u64) {
        for probe in self.own.values_mut() {
            probe.ends_ms += ms;
            probe.direct_until_ms = probe.direct_until_ms.map(|at| at + ms);
        }
        for relay in self.relayed.values_mut() {
            relay.ends_ms += ms;
            relay.nack_at_ms = relay.nack_at_ms.map(|at| at + ms);
        }
    }
}

impl Swim {
    /// Begins the probe whose time has come, and carries on those under way.
    pub(super) fn probe(&mut self, now_ms: u64) {
        self.carry_on(now_ms);
        self.carry_on_for_others(now_ms);
        if self.next_probe_ms.is_some_and(|at| now_ms >= at) {
            let pause_ms = self.health.stretch(self.pace.interval_ms);
            // A little jitter keeps nodes that started together from asking in step.
            let jitter_ms = self.random.below(pause_ms / 5 + 1);
            self.next_probe_ms = Some(now_ms + pause_ms - pause_ms / 10 + jitter_ms);
            if let Some(target) = self.next_target() {
                self.begin(&target, now_ms);
            }
            self.ask_someone_down();
        }
    }

    /// Asks a member at once, beside whose turn it is.
    pub(super) fn ask(&mut self, id: &NodeId) {
        let seq = self.probes.next_seq();
        self.send(id, Talk::Ping { seq });
    }

    fn next_target(&mut self) -> Option<NodeId> {
        while let Some(id) = self.probes.hurried.pop_front() {
            if self.peers.get(&id).is_some_and(|peer| !peer.is_down()) {
                return Some(id);
            }
        }
        self.peers.next(&mut self.random)
    }

    fn begin(&mut self, target: &NodeId, now_ms: u64) {
        let is_linked = self.peers.get(target).is_some_and(|peer| peer.linked);
        let seq = self.probes.next_seq();
        let timeout_ms = if is_linked { self.health.stretch(self.pace.timeout_ms) } else { 0 };
        let ends_ms = now_ms + self.health.stretch(self.pace.interval_ms);
        let direct_until_ms = Some(now_ms + timeout_ms);
        let probe = Probe { target: target.clone(), direct_until_ms, ends_ms, asked: 0, nacks: 0 };
        self.probes.own.insert(seq, probe);
        if is_linked {
            self.send(target, Talk::Ping { seq });
        } else {
            self.carry_on(now_ms);
        }
    }

    /// Members that are down are asked too, so that a partition that heals is found: if one answers, it refutes. All
    /// members share the asking, or a slow node that is down would drown in questions and never come back.
    fn ask_someone_down(&mut self) {
        let (members, down) = (self.peers.members() as u64, self.peers.down_count() as u64);
        if self.random.below(members) >= down * ASKED_A_ROUND {
            return;
        }
        let Some(target) = self.peers.any_down(&mut self.random) else { return };
        let seq = self.probes.next_seq();
        if self.peers.get(&target).is_some_and(|peer| peer.linked) {
            return self.send(&target, Talk::Ping { seq });
        }
        for proxy in self.peers.sample(1, None, &mut self.random) {
            self.send(&proxy, Talk::PingReq { seq, target: target.clone() });
        }
    }

    fn carry_on(&mut self, now_ms: u64) {
        let is_due = |(seq, probe): (&u32, &Probe)| (now_ms >= probe.due_ms()).then_some(*seq);
        let due: Vec<_> = self.probes.own.iter().filter_map(is_due).collect();
        for seq in due {
            let Some(probe) = self.probes.own.get_mut(&seq) else { continue };
            if now_ms >= probe.ends_ms {
                self.fail(seq, now_ms);
                continue;
            }
            probe.direct_until_ms = None;
            let target = probe.target.clone();
            let proxies = self.peers.sample(self.pace.indirect, Some(&target), &mut self.random);
            if let Some(probe) = self.probes.own.get_mut(&seq) {
                probe.asked = proxies.len() as u32;
            }
            for proxy in proxies {
                self.send(&proxy, Talk::PingReq { seq, target: target.clone() });
            }
        }
    }

    /// Nobody had an answer. If those who were asked to ask are silent too, this node should doubt itself.
    fn fail(&mut self, seq: u32, now_ms: u64) {
        let Some(probe) = self.probes.own.remove(&seq) else { return };
        self.health.worse(if probe.asked > 0 { probe.asked.saturating_sub(probe.nacks) } else { 1 });
        self.accuse(&probe.target, now_ms);
    }

    fn carry_on_for_others(&mut self, now_ms: u64) {
        let is_due = |(seq, relay): (&u32, &Relay)| (now_ms >= relay.due_ms()).then_some(*seq);
        let due: Vec<_> = self.probes.relayed.iter().filter_map(is_due).collect();
        for seq in due {
            let Some(relay) = self.probes.relayed.get_mut(&seq) else { continue };
            if relay.nack_at_ms.take().is_some() {
                let (asker, seq) = (relay.asker.clone(), relay.seq);
                self.send(&asker, Talk::Nack { seq });
            } else {
                self.probes.relayed.remove(&seq);
            }
        }
    }

    pub(super) fn on_talk(&mut self, from: &NodeId, talk: Talk, now_ms: u64) {
        match talk {
            Talk::Ping { seq } => self.send(from, Talk::Ack { seq }),
            Talk::PingReq { seq, target } if target == self.me => self.send(from, Talk::Ack { seq }),
            Talk::PingReq { seq, target } => self.ask_for(from, seq, &target, now_ms),
            Talk::Ack { seq } => {
                if let Some(probe) = self.probes.own.remove(&seq) {
                    self.health.better();
                    if probe.target != *from && self.peers.get(&probe.target).is_some_and(|peer| peer.linked)
                    {
                        self.unheard(probe.target);
                    }
                } else if let Some(relay) = self.probes.relayed.remove(&seq) {
                    self.send(&relay.asker, Talk::Ack { seq: relay.seq });
                }
            }
            Talk::Nack { seq } => {
                if let Some(probe) = self.probes.own.get_mut(&seq) {
                    probe.nacks = (probe.nacks + 1).min(probe.asked);
                }
            }
            Talk::Tell => {}
        }
    }

    /// Asks a member for another that hears nothing from it.
    fn ask_for(&mut self, asker: &NodeId, seq: u32, target: &NodeId, now_ms: u64) {
        let can_ask = self.peers.get(target).is_some_and(|peer| peer.linked);
        if !can_ask || self.probes.relayed.len() >= RELAYED_MAX {
            if self.pace.lifeguard {
                self.send(asker, Talk::Nack { seq });
            }
            return;
        }
        let own = self.probes.next_seq();
        // Early enough that the asker hears it before it decides: it has waited for `timeout` already, and there are two ways.
        let left_ms = self.pace.interval_ms.saturating_sub(self.pace.timeout_ms);
        let nack_in_ms = (self.pace.timeout_ms / 5 * 4).min(left_ms / 3);
        let nack_at_ms = self.pace.lifeguard.then_some(now_ms + nack_in_ms);
        let ends_ms = now_ms + self.pace.interval_ms;
        let relay = Relay { target: target.clone(), asker: asker.clone(), seq, nack_at_ms, ends_ms };
        self.probes.relayed.insert(own, relay);
        self.send(target, Talk::Ping { seq: own });
    }
}

/// How often each member that is down is asked in one pause between probes, by all others together.
const ASKED_A_ROUND: u64 = 3;

/// Members asked before their turn; of a whole rack that went away, the rest wait for theirs.
const HURRIED_MAX: usize = 64;

/// Questions carried for others at a time.
const RELAYED_MAX: usize = 1_024;
