//! What an operator sees to once the faults have ended, because no protocol can know it.

use std::collections::BTreeSet;

use crate::proto::{Affiliation, Command, Machine};
use crate::ring_name::RingName;
use crate::view::{Member, Status};

use super::network::Ix;
use super::node::Disk;
use super::oracle::Violation;
use super::scenario::{is_in_ring, meet, ring};
use super::world::World;

/// Starts what is down, and lets those join and meet that cannot know that they belong together.
pub(super) fn tidy(world: &mut World) -> Result<(), Violation> {
    for ix in 0..world.nodes.len() {
        if world.nodes[ix].machine.is_none() {
            world.start(ix)?;
        }
    }
    // Operations that are under way have their deadlines.
    world.run_for(8_000)?;
    part_twins(world)?;
    // A node that lost its disk does not know that it is a member.
    for name in rings(world) {
        let members: BTreeSet<_> =
            of(world, &name).flat_map(|(_, machine)| machine.members()).map(|member| member.id).collect();
        let strays = world.running().filter(|(_, machine)| *machine.affiliation() == Affiliation::Outside);
        let strays: Vec<_> =
            strays.map(|(ix, _)| ix).filter(|ix| members.contains(&world.nodes[*ix].id)).collect();
        for ix in strays {
            world.command(ix, Command::Join { ring: name.clone() })?;
            world.run_for(60)?;
        }
    }
    world.run_for(1_000)?;
    for name in rings(world) {
        introduce(world, &name)?;
        withdraw_invitations(world, &name)?;
    }
    Ok(())
}

/// The names of the rings there are.
fn rings(world: &World) -> BTreeSet<RingName> {
    world.running().filter_map(|(_, machine)| machine.affiliation().ring().cloned()).collect()
}

/// The nodes of one ring.
fn of<'a>(world: &'a World, name: &'a RingName) -> impl Iterator<Item = (Ix, &'a Machine)> {
    world.running().filter(move |(_, machine)| machine.affiliation().ring() == Some(name))
}

/// Removes nodes that were inserted at an address where they are not, and those that have been in another ring since.
fn withdraw_invitations(world: &mut World, name: &RingName) -> Result<(), Violation> {
    let Some((by, machine)) = of(world, name).next() else { return Ok(()) };
    let is_lost = |member: &Member| {
        let there = world.positions.get(&member.id).map(|ix| &world.nodes[*ix]);
        let ring = there.and_then(|node| node.machine.as_ref()?.affiliation().last_ring());
        let is_misplaced = member.status == Status::Joining
            && there.map(|node| &node.settings.address) != Some(&member.address);
        is_misplaced || ring.is_some_and(|ring| ring != name)
    };
    let ids: Vec<_> = machine.members().filter(is_lost).map(|member| member.id).collect();
    if ids.is_empty() { Ok(()) } else { world.command(by, Command::Remove { ids, force: false }) }
}

/// Leaves one node of each id. Where two stood apart and met, one has withdrawn by now.
fn part_twins(world: &mut World) -> Result<(), Violation> {
    let twins = world.twins.clone();
    let Some(keep) = twins.iter().copied().find(|ix| stands(world, *ix)).or(twins.first().copied()) else {
        return Ok(());
    };
    for ix in twins.into_iter().filter(|ix| *ix != keep) {
        world.crash(ix, Disk::Lost);
    }
    if !stands(world, keep) {
        world.crash(keep, Disk::Kept);
        world.start(keep)?;
        // The other may have been the member.
        let machine = world.nodes[keep].machine.as_ref();
        let last = machine.and_then(|machine| machine.affiliation().last_ring().cloned());
        world.command(keep, Command::Join { ring: last.unwrap_or_else(ring) })?;
    }
    // What they said of themselves at the same time is settled once the one that stays has heard of it.
    world.run_for(5_000)?;
    world.positions.insert(world.nodes[keep].id.clone(), keep);
    world.twins.clear();
    Ok(())
}

fn stands(world: &World, ix: Ix) -> bool {
    world.nodes[ix].machine.as_ref().is_some_and(is_in_ring)
}

/// Lets every node in the ring meet the first, unless they know each other; and once more if that is out by then,
/// having learnt that it was removed.
fn introduce(world: &mut World, name: &RingName) -> Result<(), Violation> {
    for _ in 0..INTRODUCED {
        let in_ring: Vec<Ix> = of(world, name).map(|(ix, _)| ix).collect();
        let knows = |by: Ix, other: Ix| {
            let id = &world.nodes[other].id;
            let machine = world.nodes[by].machine.as_ref();
            machine.is_some_and(|machine| machine.members().any(|member| member.id == *id))
        };
        let Some(first) = in_ring.first().copied() else { return Ok(()) };
        let strangers: Vec<_> =
            in_ring.into_iter().filter(|ix| !(knows(*ix, first) && knows(first, *ix))).collect();
        if strangers.is_empty() {
            return Ok(());
        }
        strangers.into_iter().try_for_each(|ix| meet(world, ix, first))?;
        world.run_for(6_000)?;
    }
    Ok(())
}

/// How often nodes are introduced. Each time one of them at least learns where it belongs.
const INTRODUCED: usize = 8;
