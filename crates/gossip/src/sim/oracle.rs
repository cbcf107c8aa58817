//! Knows every write with its causal past, and so what every roster has to hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use netkernel::{Incarnation, NodeId};
use thiserror::Error;

use crate::proto::{Actor, Context, Dot, Hash, Image, Machine, Standing, Version};

use super::network::Ix;

/// Every write of a run.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    events: BTreeMap<Dot, Event>,
    /// What each node's context and incarnation were last, to see that they only grow.
    seen: BTreeMap<Ix, (Hash, Context, Incarnation)>,
    /// The live hash of each digest hash, which everyone has to share.
    lives: BTreeMap<Hash, Hash>,
    /// Actors of which their nodes said that they write no more.
    ended: BTreeSet<Actor>,
}

#[derive(Debug)]
struct Event {
    id: NodeId,
    version: Version,
    past: vclock::VClock<Actor>,
    /// Whether it was published, so that it may not get lost.
    required: bool,
}

/// What no run may show.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
#[error("seed {seed}: {what}")]
pub struct Violation {
    /// The seed that shows it again.
    pub seed: u64,
    /// What happened.
    pub what: String,
}

impl Oracle {
    /// Looks for writes in a state that node `id` is about to store.
    pub(super) fn storing(&mut self, id: &NodeId, state: &Image) -> Result<(), String> {
        for record in state.records() {
            let ended = record.own.iter().flat_map(|own| &own.ended);
            self.ended.extend(ended.map(|ended| ended.actor));
            for (dot, version) in record.versions.siblings() {
                if let Some(event) = self.events.get(dot) {
                    if event.version != *version || event.id != record.id {
                        return Err(format!("two writes bear the event {dot:?}"));
                    }
                } else if version.by == *id {
                    let past: vclock::VClock<Actor> = record
                        .versions
                        .context()
                        .iter()
                        .map(|(a, n)| (*a, if *a == dot.actor { dot.counter() - 1 } else { n }))
                        .collect();
                    let event =
                        Event { id: record.id.clone(), version: version.clone(), past, required: false };
                    self.events.insert(*dot, event);
                }
            }
        }
        Ok(())
    }

    /// The state is on disk and its writes are published.
    pub(super) fn stored(&mut self, state: &Image) {
        for record in state.records() {
            for (dot, _) in record.versions.siblings() {
                if let Some(event) = self.events.get_mut(dot) {
                    event.required = true;
                }
            }
        }
    }

    /// A node crashed or went out of the ring: what only it knew may be gone. `known` is what all others have seen.
    pub(super) fn lost(&mut self, known: &[Context]) {
        for (dot, event) in &mut self.events {
            event.required &= known.iter().any(|context| context.contains(dot));
        }
    }

    /// A node started again, from what its disk had.
    pub(super) fn restarted(&mut self, node: Ix) {
        self.seen.remove(&node);
    }

    pub(super) fn events(&self) -> u64 {
        self.events.len() as u64
    }

    /// Checks what must hold at all times.
    pub(super) fn check(&mut self, node: Ix, machine: &Machine, had_twins: bool) -> Result<(), String> {
        let (seen, live) = machine.hashes();
        // Two nodes of one id may say different things of themselves under one age, which a snapshot then settles.
        if !had_twins
            && machine.affiliation().ring().is_some()
            && *self.lives.entry(seen).or_insert(live) != live
        {
            return Err(format!("node {node} has seen what another has, and has not the same"));
        }
        let (state, context, incarnation) = self.seen.entry(node).or_default();
        if machine.incarnation() < *incarnation {
            return Err(format!("node {node} went back from incarnation {incarnation}"));
        }
        *incarnation = machine.incarnation();
        if *state == seen {
            return Ok(());
        }
        let now = machine.context();
        let is_forgotten = |run: &vclock::DotRange<Actor>| !self.ended.contains(run.actor());
        let forgotten = context.missing_from(now).find(is_forgotten);
        if let Some(run) = forgotten.filter(|_| machine.affiliation().ring().is_some()) {
            return Err(format!("node {node} has forgotten events: {run:?}"));
        }
        (*state, *context) = (seen, now.clone());
        Ok(())
    }

    /// Checks the end of a run: the nodes in the ring hold exactly what no later write replaced, and make the same
    /// of it.
    pub(super) fn check_end<'a>(
        &self,
        nodes: impl Iterator<Item = (Ix, &'a Machine)> + Clone,
    ) -> Result<(), String> {
        let in_ring = nodes.filter(|(_, machine)| machine.affiliation().ring().is_some());
        let known = |dot: &Dot| in_ring.clone().any(|(_, machine)| machine.context().contains(dot));
        let happened: BTreeMap<_, _> =
            self.events.iter().filter(|(dot, event)| event.required || known(dot)).collect();
        let mut expected: BTreeMap<&NodeId, BTreeSet<Dot>> = BTreeMap::new();
        for (dot, event) in &happened {
            let replaced = happened.values().any(|later| later.id == event.id && later.past.contains(dot));
            let of_id = expected.entry(&event.id).or_default();
            if !replaced {
                of_id.insert(**dot);
            }
        }
        for (node, machine) in in_ring {
            let members: BTreeSet<_> = machine.members().map(|member| member.id).collect();
            let policy: BTreeSet<_> = expected
                .iter()
                .filter(|(_, dots)| self.is_member(dots))
                .map(|(id, _)| (*id).clone())
                .collect();
            if members != policy {
                return Err(format!("node {node} makes {members:?} of the writes, which leave {policy:?}"));
            }
            // A tombstone is there until it is collected, and what it beats goes with it.
            let found: BTreeMap<_, BTreeSet<_>> = machine
                .records()
                .filter(|record| policy.contains(&record.id))
                .map(|record| {
                    let dots = record.versions.siblings().map(|(dot, _)| *dot).collect();
                    (&record.id, self.deciding(&dots))
                })
                .collect();
            let left = expected.iter().filter(|(id, _)| policy.contains(**id));
            let left: BTreeMap<_, _> = left.map(|(id, dots)| (*id, self.deciding(dots))).collect();
            if found != left {
                return Err(format!("node {node} holds {found:?}, the writes leave {left:?}"));
            }
        }
        Ok(())
    }

    /// The memberships of the highest incarnation: what decides how a member belongs to the ring.
    fn deciding(&self, dots: &BTreeSet<Dot>) -> BTreeSet<Dot> {
        let incarnation = |dot: &Dot| match &self.events.get(dot)?.version.standing {
            Standing::Member(membership) => Some(membership.incarnation),
            Standing::Removed { .. } => None,
        };
        let highest = dots.iter().filter_map(incarnation).max();
        dots.iter().copied().filter(|dot| highest.is_some() && incarnation(dot) == highest).collect()
    }

    /// The policy, told again in other words: there is a member above every removal.
    fn is_member(&self, dots: &BTreeSet<Dot>) -> bool {
        let standings = || dots.iter().filter_map(|dot| Some(&self.events.get(dot)?.version.standing));
        standings().any(|standing| {
            let beaten = |other: &Standing| {
                matches!(other, Standing::Removed { incarnation } if *incarnation >= standing.incarnation())
            };
            matches!(standing, Standing::Member(_)) && !standings().any(beaten)
        })
    }
}
