//! What an operator sees to once the faults have ended, because no protocol can know it.

use std::collections::BTreeSet;

use crate::proto::{Affiliation, Command};
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
    let members: BTreeSet<_> =
        world.running().flat_map(|(_, machine)| machine.members()).map(|member| member.id).collect();
    let strays = world.running().filter(|(_, machine)| *machine.affiliation() == Affiliation::Outside);
    let strays: Vec<_> =
        strays.map(|(ix, _)| ix).filter(|ix| members.contains(&world.nodes[*ix].id)).collect();
    for ix in strays {
        world.command(ix, Command::Join { ring: ring() })?;
    }
    world.run_for(1_000)?;
    withdraw_invitations(world)?;
    introduce(world)
}

/// Removes nodes that were inserted at an address where they are not.
fn withdraw_invitations(world: &mut World) -> Result<(), Violation> {
    let Some((by, machine)) = world.running().find(|(_, machine)| is_in_ring(machine)) else { return Ok(()) };
    let is_lost = |member: &Member| {
        let there = world.positions.get(&member.id).map(|ix| &world.nodes[*ix].settings.address);
        member.status == Status::Joining && there != Some(&member.address)
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
        world.command(keep, Command::Join { ring: ring() })?;
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

/// Lets every node in the ring meet the first, unless they know each other.
fn introduce(world: &mut World) -> Result<(), Violation> {
    let in_ring: Vec<Ix> =
        world.running().filter(|(_, machine)| is_in_ring(machine)).map(|(ix, _)| ix).collect();
    let knows = |by: Ix, other: Ix| {
        let id = &world.nodes[other].id;
        world.nodes[by]
            .machine
            .as_ref()
            .is_some_and(|machine| machine.members().any(|member| member.id == *id))
    };
    let Some(first) = in_ring.first().copied() else { return Ok(()) };
    let strangers: Vec<_> =
        in_ring.into_iter().filter(|ix| !(knows(*ix, first) && knows(first, *ix))).collect();
    strangers.into_iter().try_for_each(|ix| meet(world, ix, first))
}
