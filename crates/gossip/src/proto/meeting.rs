//! How a machine meets: it finds out who is at an address and exchanges everything with them.

use std::collections::BTreeMap;

use netkernel::{Address, NodeId};

use crate::error::MeetError;
use crate::message::{Header, Message};

use super::machine::Machine;
use super::operations::{Outcome, Token};
use super::ports::{Action, DialError, DialId};
use super::time::Now;

/// The meets under way.
#[derive(Debug, Default)]
pub(super) struct Meets {
    next: u64,
    pending: BTreeMap<DialId, Meet>,
}

#[derive(Debug)]
struct Meet {
    /// Who waits for it; nobody, when this node tries it of itself.
    token: Option<Token>,
    address: Address,
    expected: Option<NodeId>,
    /// Who answered the dial.
    peer: Option<NodeId>,
    /// Why the last dial failed.
    failure: Option<String>,
    deadline_ms: u64,
    retry_ms: u64,
    dialing: bool,
}

impl Meets {
    pub(super) fn next(&mut self) -> DialId {
        self.next += 1;
        DialId(self.next)
    }

    /// Where a node that is being met is, so that its session is kept until that is over.
    pub(super) fn wishes_for(&self, id: &NodeId) -> Option<Address> {
        self.pending.values().find(|meet| meet.peer.as_ref() == Some(id)).map(|meet| meet.address.clone())
    }

    /// Whether this very node is being met.
    pub(super) fn is_meeting(&self, id: &NodeId) -> bool {
        self.pending.values().any(|meet| meet.expected.as_ref() == Some(id))
    }

    /// When something here wants attention next.
    pub(super) fn due_ms(&self) -> Option<u64> {
        let due =
            |meet: &Meet| if meet.dialing { meet.deadline_ms } else { meet.deadline_ms.min(meet.retry_ms) };
        self.pending.values().map(due).min()
    }
}

impl Machine {
    pub(super) fn start_meet(
        &mut self,
        token: Option<Token>,
        address: Address,
        expected: Option<NodeId>,
        now: Now,
    ) {
        let dial = self.meets.next();
        let (deadline_ms, retry_ms) = (now.mono_ms + self.settings.meet_ms, now.mono_ms);
        let meet = Meet {
            token,
            address,
            expected,
            peer: None,
            failure: None,
            deadline_ms,
            retry_ms,
            dialing: false,
        };
        self.meets.pending.insert(dial, meet);
    }

    /// Dials, sends and ends the meets for which it is time.
    pub(super) fn settle_meets(&mut self, now: Now) {
        let mut dials = Vec::new();
        let mut greetings = Vec::new();
        let mut late = Vec::new();
        for (dial, meet) in &mut self.meets.pending {
            if now.mono_ms >= meet.deadline_ms {
                late.push(*dial);
            } else if now.mono_ms >= meet.retry_ms && !meet.dialing {
                meet.retry_ms = now.mono_ms + MEET_RETRY_MS;
                match &meet.peer {
                    Some(peer) => greetings.push(peer.clone()),
                    None => {
                        meet.dialing = true;
                        dials.push(Action::Dial {
                            dial: *dial,
                            address: meet.address.clone(),
                            expected: meet.expected.clone(),
                            within_ms: meet.deadline_ms - now.mono_ms,
                        });
                    }
                }
            }
        }
        dials.into_iter().for_each(|dial| self.act(dial));
        for peer in greetings {
            let everything = self.snapshot();
            self.send(&peer, &Message::Meet(everything));
        }
        for dial in late {
            self.end_meet(dial, |meet| match (&meet.peer, &meet.failure) {
                (None, Some(reason)) => {
                    Err(MeetError::Unreachable { address: meet.address.clone(), reason: reason.clone() })
                }
                _ => Err(MeetError::NoAnswer { address: meet.address.clone() }),
            });
        }
    }

    pub(super) fn on_dialed(&mut self, dial: DialId, result: Result<NodeId, DialError>, now: Now) {
        if self.probe.as_ref().is_some_and(|probe| probe.dial == dial) {
            return self.probed(result);
        }
        if let Some((id, _)) = self.notices.remove(&dial) {
            if result.is_ok() {
                self.notify(&id);
            }
            return;
        }
        let Some(meet) = self.meets.pending.get_mut(&dial) else { return };
        meet.dialing = false;
        match result {
            Err(DialError::Myself) => self.end_meet(dial, |_| Ok(())),
            Ok(id) if id == self.settings.id => self.end_meet(dial, |_| Ok(())),
            Ok(id) => {
                meet.peer = Some(id.clone());
                meet.retry_ms = now.mono_ms;
                self.touch(&id);
                // The link is wished for before the first frame goes out on it.
                self.settle_links(now);
                self.settle_meets(now);
            }
            Err(DialError::Duplicate) => {
                meet.failure = Some("a live node of this node's id answers".to_owned());
            }
            Err(DialError::OtherNode { found }) => self.end_meet(dial, |meet| {
                Err(MeetError::OtherNode { address: meet.address.clone(), found: found.clone() })
            }),
            Err(DialError::Failed { reason }) => meet.failure = Some(reason),
        }
    }

    /// `peer` has answered a meet.
    pub(super) fn met(&mut self, peer: &NodeId) {
        self.end_meets_with(peer, |_| Ok(()));
    }

    pub(super) fn end_meets_with(
        &mut self,
        peer: &NodeId,
        result: impl Fn(&Address) -> Result<(), MeetError>,
    ) {
        let with_peer = |(dial, meet): (&DialId, &Meet)| (meet.peer.as_ref() == Some(peer)).then_some(*dial);
        let ended: Vec<_> = self.meets.pending.iter().filter_map(with_peer).collect();
        for dial in ended {
            self.end_meet(dial, |meet| result(&meet.address));
        }
    }

    fn end_meet(&mut self, dial: DialId, result: impl Fn(&Meet) -> Result<(), MeetError>) {
        let Some(meet) = self.meets.pending.remove(&dial) else { return };
        let result = result(&meet);
        if let Some(peer) = &meet.peer {
            self.touch(peer);
        }
        if let Some(token) = meet.token {
            let own = self.roster.get(&self.settings.id);
            let facts = own.map(|entry| entry.record().facts().collect()).unwrap_or_default();
            let result = result.map(|()| self.operations.begin(facts));
            self.complete(token, Outcome::Meet(result));
        }
    }

    /// This node is out of the ring: there is nothing to meet for.
    pub(super) fn end_meets(&mut self) {
        let meets: Vec<_> = self.meets.pending.keys().copied().collect();
        meets.into_iter().for_each(|dial| self.end_meet(dial, |_| Err(MeetError::Evicted)));
    }

    pub(super) fn on_stranger(&mut self, from: &NodeId, header: &Header) {
        let ring = self.ring().cloned();
        self.end_meets_with(from, |address| {
            let address = address.clone();
            Err(match &header.ring {
                Some(theirs) if Some(theirs) != ring.as_ref() => {
                    MeetError::ForeignRing { address, ring: theirs.clone() }
                }
                Some(_) => MeetError::ConfigMismatch { address },
                None => MeetError::PeerNotInRing { address },
            })
        });
    }
}

/// The pause between attempts of a meet.
const MEET_RETRY_MS: u64 = 500;
