//! Machines in the middle of their lives, so that large rings are simulated without being formed first.

use std::sync::Arc;

use netkernel::{Incarnation, NodeId};

use crate::ring_name::RingName;

use super::affiliation::Affiliation;
use super::entry::Entry;
use super::machine::Machine;
use super::record::{Actor, Context, Dot, Membership, OwnRecord, Record, Standing, Version, Versions};
use super::roster::Roster;
use super::rules::Rules;
use super::settings::Settings;
use super::stamp::StampClock;
use super::time::Now;

/// What every node of a ring has that has been quiet for a while.
#[derive(Debug)]
pub(crate) struct Calm {
    ring: RingName,
    roster: Roster,
    ids: Vec<NodeId>,
}

impl Calm {
    /// The ring of nodes with these settings, each of which has written itself at `now`.
    pub(crate) fn new(ring: RingName, settings: &[Settings], now: Now) -> Self {
        let mut context = Context::default();
        let mut entries = Vec::with_capacity(settings.len());
        for (settings, number) in settings.iter().zip(1..) {
            let dot = Dot::new(Actor(number), 1).expect("counters start at 1");
            context.insert(dot);
            entries.push(Arc::new(Entry::new(record(settings, dot, now))));
        }
        let roster = Roster::restored(Rules::default(), &context, entries, [], []);
        Self { ring, roster, ids: settings.iter().map(|settings| settings.id.clone()).collect() }
    }
}

impl Machine {
    /// The machine of a node of a calm ring, with a session to every other node of it.
    pub(crate) fn settled(settings: Settings, calm: &Calm, seed: u64, now: Now) -> Self {
        let local = settings.id.clone();
        let settings = Settings { ring: None, ..settings };
        let mut machine = Self::new(settings, None, seed, now).expect("a node without a state starts");
        machine.roster = calm.roster.clone();
        machine.affiliation = Affiliation::In(calm.ring.clone());
        calm.ids.iter().filter(|id| **id != local).for_each(|id| machine.links.set_up(id.clone()));
        machine.affiliation_changed();
        machine.finish(now);
        machine
    }
}

/// What a node writes when it founds a ring.
fn record(settings: &Settings, dot: Dot, now: Now) -> Record {
    let incarnation = Incarnation(now.wall_ms);
    let membership = Membership {
        incarnation,
        weight: settings.weight,
        address: settings.address.clone(),
        zone: settings.zone.clone(),
    };
    let version = Version {
        standing: Standing::Member(membership),
        stamp: StampClock::default().tick(now.wall_ms),
        by: settings.id.clone(),
        extension: settings.extension.clone(),
    };
    let mut versions = Versions::default();
    versions.write_at(&vclock::VClock::default(), version, dot).expect("nothing was written before");
    let own = OwnRecord {
        incarnation,
        version: 1,
        address: settings.address.clone(),
        protocols: settings.protocols,
        draining: false,
        tags: settings.tags.clone(),
        actor: Some(dot.actor),
        ended: Vec::new(),
        extension: settings.extension.clone(),
    };
    Record { id: settings.id.clone(), versions, own: Some(own) }
}
