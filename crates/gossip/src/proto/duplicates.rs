//! Two runs of one node: an older one whose records are still about, or a second one that is alive.

use std::cmp::Ordering;

use netkernel::{Address, Incarnation, NodeId};

use crate::event::Event;

use super::affiliation::Affiliation;
use super::drafts::Intent;
use super::machine::Machine;
use super::ports::{Action, DialError, DialId};
use super::record::Record;

/// A dial of an address under which this node may be running a second time.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) dial: DialId,
    told: Incarnation,
}

impl Machine {
    /// A record of this node's own that it did not write: an older run under a clock that was ahead, or a
    /// duplicate that is alive.
    pub(super) fn heed_own_record(&mut self, record: &Record) {
        let Some(theirs) = &record.own else { return };
        let mine = self.roster.get(&self.settings.id).and_then(|entry| entry.record().own.as_ref());
        let foreign = match theirs.age().cmp(&self.identity.age()) {
            Ordering::Less => false,
            Ordering::Equal => mine != Some(theirs),
            Ordering::Greater => true,
        };
        if foreign {
            self.told(theirs.incarnation, theirs.address.clone());
        }
    }

    fn told(&mut self, incarnation: Incarnation, address: Address) {
        self.identity.told(incarnation);
        if address == self.settings.address {
            // Nobody else can listen here.
            self.writer.push(Intent::Mint);
        } else {
            self.probe_own_address(address, incarnation);
        }
    }

    /// Asks whether a second run of this node answers at the address.
    pub(super) fn probe_own_address(&mut self, address: Address, told: Incarnation) {
        if self.probe.is_none() {
            let dial = self.meets.next();
            self.probe = Some(Probe { dial, told });
            let expected = Some(self.settings.id.clone());
            self.act(Action::Dial { dial, address, expected, within_ms: PROBE_MS });
        }
    }

    pub(super) fn probed(&mut self, result: Result<NodeId, DialError>) {
        let Some(Probe { told, .. }) = self.probe.take() else { return };
        match result {
            Ok(id) if id == self.settings.id => self.withdraw(),
            Err(DialError::Duplicate) => self.withdraw(),
            Ok(_) | Err(_) => {
                let is_above = self.incarnation > told;
                self.writer.push(if is_above { Intent::Announce } else { Intent::Mint });
            }
        }
    }

    pub(super) fn on_refused_as_duplicate(&mut self, incumbent: Incarnation) {
        if incumbent > self.identity.incarnation() {
            // Whoever refused had not asked the incumbent whether it lives: a newer run would have been asked for.
            self.identity.outrun_by(incumbent);
            self.writer.push(Intent::Mint);
        } else if self.identity.is_another(incumbent) {
            // As a newer run this one was refused for it, so it was asked, and it lives.
            self.withdraw();
        }
    }

    fn withdraw(&mut self) {
        if let Some(ring) = self.ring().cloned() {
            self.go(Affiliation::Withdrawn(ring));
        }
        self.emit(Event::DuplicateId { id: self.settings.id.clone() });
    }
}

/// How long a second run of this node is waited for to answer.
const PROBE_MS: u64 = 1_000;
