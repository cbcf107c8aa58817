//! One record in the roster, and what it means: the policy that chooses between concurrent versions.

use std::sync::Arc;

use netkernel::{Address, Incarnation, NodeId};

use super::floor::Floor;
use super::hash::Hash;
use super::record::{
    Actor, Dot, Ended, Fact, Membership, OwnRecord, OwnVersion, Record, Standing, Version, Versions, What,
};
use super::rules::{Rule, Rules};
use super::seen::Seen;

/// A record with what is derived from it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    record: Record,
    /// What an earlier removal of the node left.
    floor: Option<Arc<Floor>>,
    /// Removals that something replaced here. Not stored: what a restart forgets of them, the comparison of what is there
    /// finds.
    owed: Vec<Dot>,
    rules: Rules,
}

impl Entry {
    pub(crate) fn new(record: Record) -> Self {
        Self { record, floor: None, owed: Vec::new(), rules: Rules::default() }
    }

    /// The same entry in a roster with this floor and these rules.
    pub(crate) fn under(self, floor: Option<Arc<Floor>>, rules: Rules) -> Self {
        Self { floor, rules, ..self }
    }

    /// Takes retired actors out of what the record has seen, unless a version of one is left.
    pub(crate) fn forget(&mut self, seen: &Seen) {
        let is_retired = |(actor, last): &(&Actor, u64)| seen.is_retired(**actor, *last);
        let retired: Vec<_> =
            self.versions().context().iter().filter(is_retired).map(|(actor, _)| *actor).collect();
        retired.iter().for_each(|actor| {
            self.record.versions.retire(actor);
        });
        self.owed.retain(|dot| !seen.is_retired(dot.actor, dot.counter()));
    }

    /// Removals that something replaced here: whoever has not seen one of them is told the record.
    pub(crate) fn owed(&self) -> &[Dot] {
        &self.owed
    }

    /// Takes note of the removals that this replaced of an entry before it.
    pub(crate) fn owe_what_replaced(&mut self, before: &Self) {
        let is_replaced = |(dot, version): &(&Dot, &Version)| {
            matches!(version.standing, Standing::Removed { .. }) && self.versions().get(dot).is_none()
        };
        let replaced = before.versions().siblings().filter(is_replaced).map(|(dot, _)| *dot);
        let mut owed: Vec<_> = before.owed.iter().copied().chain(replaced).collect();
        owed.sort_unstable();
        owed.dedup();
        let over = owed.len().saturating_sub(OWED_MAX);
        owed.drain(..over);
        self.owed = owed;
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn versions(&self) -> &Versions {
        &self.record.versions
    }

    /// What the entry adds to the hash of what is there: what decides how the node belongs to the ring, and nothing of
    /// a removal, nor of what that or a later membership beats. Of these one replica may have kept more than another.
    pub(crate) fn live_hash(&self) -> Hash {
        let Some(membership) = self.membership() else { return Hash::default() };
        let counts = |version: &Version| matches!(&version.standing, Standing::Member(other) if other.incarnation == membership.incarnation);
        let versions: Vec<_> = self.versions().siblings().filter(|(_, version)| counts(version)).collect();
        Hash::of(&(&self.record.id, versions, &self.record.own))
    }

    /// The version that counts. A removal beats members of its own or an older incarnation; among members the
    /// highest incarnation wins, then the highest (stamp, actor). Pure: it asks no clock, so every node that saw
    /// the same writes chooses the same.
    pub(crate) fn chosen(&self) -> Option<(&Dot, &Version)> {
        let is_removal = |version: &Version| matches!(version.standing, Standing::Removed { .. });
        let beats = self.rules.keep(Rule::RemovalBeatsMember);
        let removed = self.versions().values().filter(|version| beats && is_removal(version));
        let removed = removed.map(|version| version.standing.incarnation()).max();
        let dead = removed.max(self.floor().map(|floor| floor.incarnation));
        let rank = |(dot, version): &(&Dot, &Version)| {
            let incarnation = version.standing.incarnation();
            let is_live = !is_removal(version) && Some(incarnation) > dead;
            let counts = is_live || is_removal(version);
            let newest = self.rules.keep(Rule::HighestIncarnationWins).then_some(incarnation);
            let latest = self.rules.keep(Rule::LatestStampWins).then_some(version.stamp);
            (counts, is_live, newest, latest, dot.actor, dot.counter)
        };
        self.versions().siblings().max_by_key(rank)
    }

    fn floor(&self) -> Option<&Floor> {
        self.floor.as_deref().filter(|_| self.rules.keep(Rule::FloorKills))
    }

    /// Whether an earlier removal beats all there is, the tombstone of which is collected.
    pub(crate) fn is_dead(&self) -> bool {
        let is_beaten = |version: &Version, floor: &Floor| {
            matches!(version.standing, Standing::Member(_))
                && version.standing.incarnation() <= floor.incarnation
        };
        self.floor().is_some_and(|floor| self.versions().values().all(|version| is_beaten(version, floor)))
    }

    /// How the node belongs to the ring, if it does.
    pub(crate) fn membership(&self) -> Option<&Membership> {
        match &self.chosen()?.1.standing {
            Standing::Member(membership) => {
                let floor = self.floor().map(|floor| floor.incarnation);
                Some(membership).filter(|membership| Some(membership.incarnation) > floor)
            }
            Standing::Removed { .. } => None,
        }
    }

    /// Who removed the node, and up to which incarnation, if it was removed.
    pub(crate) fn removal(&self) -> Option<(&NodeId, Incarnation)> {
        let version = self.chosen()?.1;
        let floor = self.floor().map(|floor| (&floor.by, floor.incarnation));
        match version.standing {
            Standing::Removed { incarnation } => Some((&version.by, incarnation)),
            Standing::Member(_) => floor.filter(|(_, floor)| version.standing.incarnation() <= *floor),
        }
    }

    /// Actors that the node retired last.
    pub(crate) fn ended(&self) -> &[Ended] {
        self.record.own.as_ref().map_or(&[], |own| &own.ended)
    }

    /// The node's own record, if its membership admits that incarnation: one from before a removal says nothing of
    /// the member it is now. It stays in the record all the same, or merging would depend on the order.
    pub(crate) fn own(&self) -> Option<&OwnRecord> {
        let floor = self.membership()?.incarnation;
        self.record.own.as_ref().filter(|own| own.incarnation >= floor)
    }

    /// The newest own record heard, admitted or not.
    pub(crate) fn own_age(&self) -> Option<OwnVersion> {
        self.record.own.as_ref().map(OwnRecord::age)
    }

    /// Where the node is reached, if it belongs to the ring.
    pub(crate) fn address(&self) -> Option<&Address> {
        let membership = self.membership()?;
        Some(self.own().map_or(&membership.address, |own| &own.address))
    }

    /// The highest incarnation of the node that any part of the record speaks of.
    pub(crate) fn incarnation(&self) -> Incarnation {
        let roster = self.versions().values().map(|version| version.standing.incarnation()).max();
        let own = self.record.own.as_ref().map(|own| own.incarnation);
        roster.max(own).unwrap_or_default()
    }

    /// Whether concurrent versions say different things, so that choosing one passes over another's intent.
    pub(crate) fn is_conflicting(&self) -> bool {
        // Incarnation and stamp differ between any two writes; and the own record overrules the address.
        let meaning = |version: &Version| match &version.standing {
            Standing::Member(Membership { weight, address, zone, .. }) => {
                Some((*weight, zone.clone(), self.own().is_none().then(|| address.clone())))
            }
            Standing::Removed { .. } => None,
        };
        let mut meanings = self.versions().values().map(meaning);
        let first = meanings.next();
        meanings.any(|meaning| Some(meaning) != first)
    }

    /// Whether the record shows, or replaced, what the fact tells.
    pub(crate) fn covers(&self, fact: &Fact) -> bool {
        match fact.what {
            What::Roster(dot) => self.versions().contains(&dot),
            What::Own(age) => self.own_age() >= Some(age),
        }
    }

    /// Takes in another replica's record of the same node. Returns what was new, or `None` when one event wrote
    /// two different versions, in which case nothing changed.
    pub(crate) fn merge(&mut self, other: &Record) -> Option<Vec<Fact>> {
        let news: Vec<_> = other.facts().filter(|fact| !self.covers(fact)).collect();
        if !self.record.versions.sync(&other.versions).ok()? && news.is_empty() {
            return Some(news);
        }
        if let Some(theirs) = &other.own {
            self.offer_own(theirs.clone());
        }
        Some(news)
    }

    fn offer_own(&mut self, theirs: OwnRecord) {
        // Two different records of one age come from two nodes of one id. Any rule both sides share will do
        // until one of them withdraws.
        let rank = |own: &OwnRecord| (own.age(), own.address.clone(), Hash::of(own));
        if self.record.own.as_ref().is_none_or(|mine| rank(mine) < rank(&theirs)) {
            self.record.own = Some(theirs);
        }
    }
}

/// Replaced removals remembered of one node; of older ones everyone has heard.
const OWED_MAX: usize = 16;
