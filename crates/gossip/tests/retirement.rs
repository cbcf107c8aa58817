//! Actors of earlier boots: what was written under them stays, and they are forgotten once nothing of them is left.

use gossip::RingName;
use gossip::proto::{Command, Insertion, Machine};
use gossip::sim::{Disk, Ix, Violation, World, address};

type Result<T = ()> = std::result::Result<T, Violation>;

/// A ring of four that forgets what is older than two seconds.
fn ring(seed: u64) -> Result<World> {
    let mut world = World::new(seed);
    for ix in 0..4 {
        add(&mut world)?;
        if ix > 0 {
            world.command(ix, Command::Meet { address: address(0), expected: None })?;
        }
    }
    world.settle(30_000)?;
    Ok(world)
}

fn add(world: &mut World) -> Result<Ix> {
    let ix = world.add(|settings| {
        settings.ring = Some(RingName::new("ring").expect("a short name"));
        settings.tombstone_ms = 2_000;
        settings.floor_ms = 30_000;
    })?;
    world.run_for(50)?;
    Ok(ix)
}

fn update(world: &mut World, by: Ix, of: Ix, weight: u32) -> Result {
    let id = world.id(of).clone();
    world.command(by, Command::Update { id, weight })
}

fn machine(world: &World, ix: Ix) -> &Machine {
    world.running().find(|(running, _)| *running == ix).expect("the node runs").1
}

/// How many actors the contexts of the ring and of its records count, the most of each. A node that left counts what it
/// did when it left.
fn counted(world: &World) -> (usize, usize) {
    let in_ring = || world.running().filter(|(_, machine)| machine.affiliation().ring().is_some());
    let of_ring = in_ring().map(|(_, machine)| machine.context().clock().len());
    let records = in_ring().flat_map(|(_, machine)| machine.records());
    let of_record = records.map(|record| record.versions.context().len());
    (of_ring.max().unwrap_or(0), of_record.max().unwrap_or(0))
}

#[test]
fn a_hundred_restarts_leave_no_more_actors_than_there_are_writers() -> Result {
    let mut world = ring(1)?;
    for round in 0..100 {
        let ix = round % 4;
        world.crash(ix, Disk::Kept);
        world.run_for(200)?;
        world.restart(ix, |_| {})?;
        world.run_for(1_000)?;
        update(&mut world, ix, (ix + 1) % 4, round as u32)?;
        world.run_for(1_000)?;
    }
    world.run_for(60_000)?;
    world.settle(30_000)?;
    world.check()?;
    let (of_ring, of_record) = counted(&world);
    // Each node's present actor, and that of the write that stands now for each record.
    assert!(of_ring <= 8 && of_record <= 4, "{of_ring} of the ring, {of_record} of a record");
    assert!(world.report().retired > 0);
    Ok(())
}

#[test]
fn nodes_that_come_and_go_leave_no_actors() -> Result {
    let mut world = ring(2)?;
    for _ in 0..20 {
        let newcomer = add(&mut world)?;
        world.command(newcomer, Command::Meet { address: address(0), expected: None })?;
        world.run_for(1_000)?;
        update(&mut world, newcomer, 1, newcomer as u32)?;
        world.run_for(1_000)?;
        world.command(newcomer, Command::Leave { force: false })?;
        world.run_for(1_000)?;
    }
    update(&mut world, 0, 1, 7)?;
    world.run_for(120_000)?;
    world.settle(30_000)?;
    world.check()?;
    let (of_ring, of_record) = counted(&world);
    assert!(of_ring <= 8 && of_record <= 4, "{of_ring} of the ring, {of_record} of a record");
    Ok(())
}

#[test]
fn a_node_that_loses_its_disk_at_every_start_adds_nothing() -> Result {
    let mut world = ring(3)?;
    for round in 0..20 {
        // Behind its last run by the clock, it may be told of that run alone, and must not be taken for it.
        world.set_skew(3, if round % 2 == 0 { -3_600_000 } else { 0 });
        world.crash(3, Disk::Lost);
        world.run_for(200)?;
        world.restart(3, |_| {})?;
        world.run_for(200)?;
        world.command(3, Command::Meet { address: address(0), expected: None })?;
        world.run_for(2_000)?;
        update(&mut world, 3, 1, round)?;
        world.run_for(1_000)?;
    }
    world.run_for(60_000)?;
    world.settle(30_000)?;
    world.check()?;
    let (of_ring, of_record) = counted(&world);
    assert!(of_ring <= 8 && of_record <= 4, "{of_ring} of the ring, {of_record} of a record");
    Ok(())
}

/// A backup from before an actor was retired brings back neither the actor nor what it wrote.
#[test]
fn a_disk_from_before_a_retirement_is_told_of_it() -> Result {
    for seed in 0..20 {
        let mut world = ring(seed)?;
        // The backup of node 2 counts the first actor of node 0, of which nothing will be left.
        update(&mut world, 0, 1, 10)?;
        world.run_for(3_000)?;
        world.crash(2, Disk::Kept);
        world.restart(2, |_| {})?;
        world.run_for(3_000)?;
        world.crash(0, Disk::Kept);
        world.restart(0, |_| {})?;
        world.run_for(1_000)?;
        update(&mut world, 0, 1, 20)?;
        update(&mut world, 1, 0, 30)?;
        world.run_for(30_000)?;
        let retired: Vec<_> = machine(&world, 1).retired().collect();
        assert!(!retired.is_empty(), "seed {seed}");
        world.crash(2, Disk::Stale);
        world.restart(2, |_| {})?;
        world.run_for(10_000)?;
        world.settle(30_000)?;
        world.check()?;
        let context = machine(&world, 2).context().clock().clone();
        assert!(retired.iter().all(|ended| context.get(&ended.actor) == 0), "seed {seed}: {context:?}");
        let weight = machine(&world, 2).members().find(|member| member.id == *world.id(1)).map(|m| m.weight);
        assert_eq!(weight, Some(20), "seed {seed}");
    }
    Ok(())
}

#[test]
fn an_actor_of_which_something_is_left_stays() -> Result {
    let mut world = ring(4)?;
    let newcomer = add(&mut world)?;
    let nodes = vec![Insertion::new(world.id(newcomer).clone(), address(newcomer))];
    world.command(0, Command::Insert { nodes, force: false })?;
    world.settle(30_000)?;
    world.crash(0, Disk::Kept);
    world.restart(0, |_| {})?;
    world.run_for(60_000)?;
    world.settle(30_000)?;
    world.check()?;
    assert!((0..5).all(|ix| machine(&world, ix).members().count() == 5));
    assert_eq!(world.report().retired, 0, "every actor wrote a record that stands");
    Ok(())
}

/// Another ring has not seen what it wrote in the first: under the same actor that would be a gap which never closes.
#[test]
fn an_actor_ends_with_its_ring() -> Result {
    let mut world = ring(6)?;
    let other = RingName::new("other").expect("a short name");
    let there = [4, 5];
    for ix in there {
        world.add(|settings| settings.ring = Some(other.clone()))?;
        world.run_for(50)?;
        world.command(ix, Command::Meet { address: address(4), expected: None })?;
    }
    (0..5).try_for_each(|weight| update(&mut world, 3, 1, weight))?;
    world.settle(30_000)?;
    let before = machine(&world, 3).context().clone();
    world.command(3, Command::Leave { force: false })?;
    world.run_for(2_000)?;
    world.command(3, Command::Join { ring: other })?;
    world.run_for(60)?;
    world.command(3, Command::Meet { address: address(4), expected: None })?;
    world.settle(30_000)?;
    for ix in [3, 4, 5] {
        let context = machine(&world, ix).context();
        assert!(context.ahead().as_slice().is_empty(), "{context:?}");
        assert!(context.clock().iter().all(|(actor, _)| before.clock().get(actor) == 0), "{context:?}");
        assert_eq!(machine(&world, ix).members().count(), 3);
    }
    world.check()
}

/// Each tells one partner a second what it has on disk: hearing it from all of fifty themselves takes over three minutes.
#[test]
fn a_tombstone_is_collected_everywhere_within_a_minute() -> Result {
    let mut world = World::new(5);
    for ix in 0..50 {
        add(&mut world)?;
        if ix > 0 {
            world.command(ix, Command::Meet { address: address(0), expected: None })?;
        }
    }
    world.settle(30_000)?;
    let id = world.id(7).clone();
    world.command(3, Command::Remove { ids: vec![id], force: false })?;
    world.run_for(60_000)?;
    let collected = world.running().filter(|(_, machine)| machine.stats().collected == 1).count();
    assert_eq!(collected, 49);
    world.check()
}
