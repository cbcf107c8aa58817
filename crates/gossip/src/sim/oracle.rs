//! Knows every write with its causal past, and so what every roster has to hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use netkernel::{Incarnation, NodeId};
use thiserror::Error;

use crate::proto::{Actor, Context, Dot, Ended, Hash, Image, Machine, Standing, Version};
use crate::ring_name::RingName;
use crate::view::Status;

use super::network::Ix;

/// Every write of a run.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    events: BTreeMap<Dot, Event>,
    /// How each node was last, to see that it only grows.
    seen: BTreeMap<Ix, Known>,
    /// The events of each record.
    of: BTreeMap<NodeId, BTreeSet<Dot>>,
    /// In which ring each actor writes.
    rings: BTreeMap<Actor, RingName>,
    /// The live hash of each digest hash, which everyone has to share.
    lives: BTreeMap<Hash, Hash>,
    /// The places of each live hash: who owns points, and how many.
    places: BTreeMap<Hash, Places>,
    /// The last events of actors that were retired.
    ended: BTreeMap<Actor, u64>,
}

/// How a node was when it was looked at last.
#[derive(Debug, Default)]
struct Known {
    ring: Option<RingName>,
    seen: Hash,
    context: Context,
    incarnation: Incarnation,
}

/// What a node has seen, be it of actors that it counts no more.
pub(super) struct Knowledge {
    context: Context,
    retired: BTreeMap<Actor, u64>,
}

impl Knowledge {
    pub(super) fn of(context: &Context, retired: impl Iterator<Item = Ended>) -> Self {
        let retired = retired.map(|Ended { actor, last }| (actor, last)).collect();
        Self { context: context.clone(), retired }
    }

    fn covers(&self, dot: &Dot) -> bool {
        self.context.contains(dot) || is_ended(&self.retired, dot)
    }
}

/// Who owns points on the ring, and how many.
type Places = Vec<(NodeId, u32)>;

#[derive(Debug)]
struct Event {
    id: NodeId,
    version: Version,
    past: vclock::VClock<Actor>,
    /// What of its past it left standing.
    beside: BTreeSet<Dot>,
    /// Whether it was published, so that it may not get lost.
    required: bool,
}

impl Event {
    fn replaces(&self, dot: &Dot) -> bool {
        self.past.contains(dot) && !self.beside.contains(dot)
    }
}

/// Whether the event is of a retired actor, which every member had seen replaced.
fn is_ended(ended: &BTreeMap<Actor, u64>, dot: &Dot) -> bool {
    ended.get(&dot.actor).is_some_and(|last| dot.counter() <= *last)
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
    /// Looks for writes in a state that node `id` is about to store. Returns whether one brings back a node whose
    /// tombstone was collected.
    pub(super) fn storing(&mut self, id: &NodeId, state: &Image) -> Result<bool, String> {
        let mut returns = false;
        for record in state.records() {
            record.own.iter().flat_map(|own| &own.ended).for_each(|ended| self.end(*ended));
            for (dot, version) in record.versions.siblings() {
                if let Some(event) = self.events.get(dot) {
                    if event.version != *version || event.id != record.id {
                        return Err(format!("two writes bear the event {dot:?}"));
                    }
                } else if version.by == *id {
                    let mut past: vclock::VClock<Actor> = record
                        .versions
                        .context()
                        .iter()
                        .map(|(a, n)| (*a, if *a == dot.actor { dot.counter() - 1 } else { n }))
                        .collect();
                    // What its writer knew to be retired it replaced as well.
                    past.merge(&state.retired().map(|Ended { actor, last }| (actor, last)).collect());
                    let beside = record.versions.siblings().map(|(other, _)| *other);
                    let beside = beside.filter(|other| other != dot).collect();
                    let event = Event {
                        id: record.id.clone(),
                        version: version.clone(),
                        past,
                        beside,
                        required: false,
                    };
                    let Some(ring) = state.affiliation().ring() else {
                        return Err(format!("node {id} writes {dot:?} and is in no ring"));
                    };
                    if self.rings.entry(dot.actor).or_insert_with(|| ring.clone()) != ring {
                        return Err(format!("the actor of {dot:?} writes in two rings"));
                    }
                    let is_member = matches!(version.standing, Standing::Member(_));
                    returns |= is_member && state.collected().any(|collected| *collected == record.id);
                    self.events.insert(*dot, event);
                    self.of.entry(record.id.clone()).or_default().insert(*dot);
                }
            }
        }
        Ok(returns)
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
    pub(super) fn lost(&mut self, known: &[Knowledge]) {
        for (dot, event) in &mut self.events {
            event.required &= known.iter().any(|known| known.covers(dot));
        }
    }

    fn end(&mut self, Ended { actor, last }: Ended) {
        let known = self.ended.entry(actor).or_default();
        *known = last.max(*known);
    }

    /// A node started again, from what its disk had.
    pub(super) fn restarted(&mut self, node: Ix) {
        self.seen.remove(&node);
    }

    pub(super) fn events(&self) -> u64 {
        self.events.len() as u64
    }

    /// Checks what must hold at all times.
    pub(super) fn check(
        &mut self,
        node: Ix,
        id: &NodeId,
        machine: &Machine,
        had_twins: bool,
    ) -> Result<(), String> {
        let (seen, live) = machine.hashes();
        // Two nodes of one id may say different things of themselves under one age, which a snapshot then settles.
        if !had_twins
            && !self.is_yet_to_be_told(machine)
            && machine.affiliation().ring().is_some()
            && *self.lives.entry(seen).or_insert(live) != live
        {
            return Err(format!("node {node} has seen what another has, and has not the same"));
        }
        let known = self.seen.entry(node).or_default();
        if machine.incarnation() < known.incarnation {
            return Err(format!("node {node} went back from incarnation {}", known.incarnation));
        }
        known.incarnation = machine.incarnation();
        let ring = machine.affiliation().last_ring();
        if known.ring.as_ref() != ring {
            // It begins anew in another ring.
            *known = Known { ring: ring.cloned(), incarnation: known.incarnation, ..Known::default() };
        }
        if known.seen == seen {
            return Ok(());
        }
        let now = machine.context();
        let is_kept =
            |run: &vclock::DotRange<Actor>| self.ended.get(run.actor()).is_none_or(|last| run.last() > *last);
        let forgotten = known.context.missing_from(now).find(is_kept);
        if let Some(run) = forgotten.filter(|_| machine.affiliation().ring().is_some()) {
            return Err(format!("node {node} has forgotten events: {run:?}"));
        }
        let is_foreign =
            |run: &vclock::DotRange<Actor>| self.rings.get(run.actor()).is_some_and(|of| Some(of) != ring);
        if let Some(run) = now.missing_from(&known.context).find(is_foreign) {
            return Err(format!("node {node} of {ring:?} has seen {run:?} of another ring"));
        }
        (known.seen, known.context) = (seen, now.clone());
        self.check_records(node, id, machine)?;
        self.check_places(node, machine)
    }

    /// Whether it holds something of an actor that others have retired. That it was replaced it may have seen and cannot know
    /// yet, for records forget such actors: it compares as equal then and has more, until it is told.
    fn is_yet_to_be_told(&self, machine: &Machine) -> bool {
        let retired: BTreeSet<_> = machine.retired().map(|ended| ended.actor).collect();
        let mut dots = machine.records().flat_map(|record| record.versions.siblings().map(|(dot, _)| *dot));
        dots.any(|dot| is_ended(&self.ended, &dot) && !retired.contains(&dot.actor))
    }

    /// What was seen replaced is not there, and the members follow from what is there.
    fn check_records(&self, node: Ix, id: &NodeId, machine: &Machine) -> Result<(), String> {
        if machine.affiliation().ring().is_none() {
            return Ok(());
        }
        let members: BTreeSet<_> = machine.members().map(|member| member.id).collect();
        let retired: BTreeSet<_> = machine.retired().map(|ended| ended.actor).collect();
        for record in machine.records() {
            let dots: BTreeSet<_> = record.versions.siblings().map(|(dot, _)| *dot).collect();
            let later =
                self.of.get(&record.id).into_iter().flatten().filter(|dot| machine.context().contains(dot));
            // Its own record it keeps even so: it answers with it, and is told.
            let later = later.filter(|_| record.id != *id);
            // Who has not heard that an actor is retired cannot know that what it wrote was replaced.
            let may_stay = |dot: &Dot| is_ended(&self.ended, dot) && !retired.contains(&dot.actor);
            for (later, dot) in later.flat_map(|later| dots.iter().map(move |dot| (later, dot))) {
                if self.events.get(later).is_some_and(|event| event.replaces(dot)) && !may_stay(dot) {
                    return Err(format!(
                        "node {node} has seen {later:?} and kept {dot:?}, which that replaced"
                    ));
                }
            }
            if self.is_member(&dots, machine.dead_upto(&record.id)) != members.contains(&record.id) {
                return Err(format!("node {node} makes something else of {record:?} than a member or none"));
            }
        }
        Ok(())
    }

    /// Nodes that have the same place keys alike.
    fn check_places(&mut self, node: Ix, machine: &Machine) -> Result<(), String> {
        if machine.affiliation().ring().is_none() {
            return Ok(());
        }
        let (_, live) = machine.hashes();
        let owners = machine.members().filter(|member| member.status != Status::Joining);
        let places: Places = owners.map(|member| (member.id, member.weight)).collect();
        let known = self.places.entry(live).or_insert_with(|| places.clone());
        if *known == places {
            Ok(())
        } else {
            Err(format!("node {node} places keys otherwise: {known:?}, {places:?}"))
        }
    }

    /// Checks the end of a run: the nodes in each ring hold exactly what no later write replaced, and make the same
    /// of it.
    pub(super) fn check_end<'a>(
        &self,
        nodes: &(impl Iterator<Item = (Ix, &'a Machine)> + Clone),
    ) -> Result<(), String> {
        let rings = nodes.clone().filter_map(|(_, machine)| machine.affiliation().ring());
        let rings: BTreeSet<_> = rings.collect();
        rings.into_iter().try_for_each(|ring| {
            self.check_end_of(
                ring,
                nodes.clone().filter(|(_, machine)| machine.affiliation().ring() == Some(ring)),
            )
        })
    }

    fn check_end_of<'a>(
        &self,
        ring: &RingName,
        in_ring: impl Iterator<Item = (Ix, &'a Machine)> + Clone,
    ) -> Result<(), String> {
        let knowledge: Vec<_> =
            in_ring.clone().map(|(_, machine)| Knowledge::of(machine.context(), machine.retired())).collect();
        let known = |dot: &Dot| knowledge.iter().any(|known| known.covers(dot));
        let of_ring = |dot: &Dot| self.rings.get(&dot.actor) == Some(ring);
        let happened: BTreeMap<_, _> = self
            .events
            .iter()
            .filter(|(dot, event)| of_ring(dot) && (event.required || known(dot)))
            .collect();
        let mut expected: BTreeMap<&NodeId, BTreeSet<Dot>> = BTreeMap::new();
        for (dot, event) in &happened {
            let replaced = happened.values().any(|later| later.id == event.id && later.replaces(dot));
            let of_id = expected.entry(&event.id).or_default();
            if !replaced {
                of_id.insert(**dot);
            }
        }
        for (node, machine) in in_ring {
            let members: BTreeSet<_> = machine.members().map(|member| member.id).collect();
            let policy: BTreeSet<_> = expected
                .iter()
                .filter(|(_, dots)| self.is_member(dots, None))
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

    /// The policy, told again in other words: there is a member above every removal, collected ones included.
    fn is_member(&self, dots: &BTreeSet<Dot>, dead_upto: Option<Incarnation>) -> bool {
        let standings = || dots.iter().filter_map(|dot| Some(&self.events.get(dot)?.version.standing));
        standings().any(|standing| {
            let beaten = |other: &Standing| {
                matches!(other, Standing::Removed { incarnation } if *incarnation >= standing.incarnation())
            };
            matches!(standing, Standing::Member(_))
                && Some(standing.incarnation()) > dead_upto
                && !standings().any(beaten)
        })
    }
}

#[cfg(test)]
mod tests;
