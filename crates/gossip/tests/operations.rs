//! Every operation in a ring of four: what it comes to, which events it raises where, and how far it has spread.
#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use bytes::Bytes;
use gossip::proto::{Affiliation, Command, Insertion, Machine, Operation, Outcome, Protocols, Reach};
use gossip::sim::{Disk, Ix, Violation, World, address};
use gossip::{Event, JoinError, RingName, Status};

type Result<T = ()> = std::result::Result<T, Violation>;

fn name() -> RingName {
    RingName::new("ring").expect("a short name")
}

fn add(world: &mut World) -> Result<Ix> {
    let ix = world.add(|settings| settings.ring = Some(name()))?;
    world.run_for(50)?;
    Ok(ix)
}

/// Four nodes that agree.
fn formed(seed: u64) -> Result<World> {
    let mut world = World::new(seed);
    for ix in 0..4 {
        add(&mut world)?;
        if ix > 0 {
            world.command(ix, Command::Meet { address: address(0), expected: None })?;
        }
    }
    world.settle(30_000)?;
    world.run_for(3_000)?;
    Ok(world)
}

fn insertion(world: &World, ix: Ix) -> Insertion {
    Insertion::new(world.id(ix).clone(), address(ix))
}

/// Asks and waits for what comes of it.
fn ask(world: &mut World, by: Ix, command: Command) -> Result<Outcome> {
    let before = world.outcomes().len();
    world.command(by, command)?;
    for _ in 0..80 {
        let outcome = world.outcomes()[before..].iter().find(|(of, _)| *of == by);
        if let Some((_, outcome)) = outcome {
            return Ok(outcome.clone());
        }
        world.run_for(100)?;
    }
    panic!("nothing came of it");
}

/// The operation that an outcome names, which has to have spread to everyone within five seconds.
fn spreads(world: &mut World, by: Ix, outcome: &Outcome) -> Result {
    let operation = named(outcome);
    for reach in [Reach::Members(1), Reach::All] {
        let outcome = ask(world, by, Command::Propagated { operation, reach, within_ms: 5_000 })?;
        assert!(matches!(outcome, Outcome::Propagated(Ok(()))), "{outcome:?}");
    }
    world.settle(30_000)?;
    world.check()
}

fn named(outcome: &Outcome) -> Operation {
    match outcome {
        Outcome::Meet(Ok(operation))
        | Outcome::Insert(Ok(operation))
        | Outcome::Update(Ok(operation))
        | Outcome::Remove(Ok(operation))
        | Outcome::Leave(Ok(operation))
        | Outcome::Join(Ok(operation))
        | Outcome::Announce(Ok(operation)) => *operation,
        other => panic!("{other:?}"),
    }
}

fn machine(world: &World, ix: Ix) -> &Machine {
    world.running().find(|(running, _)| *running == ix).expect("the node runs").1
}

fn members(world: &World, ix: Ix) -> BTreeSet<String> {
    machine(world, ix).members().map(|member| member.id.to_string()).collect()
}

fn names<const N: usize>(numbers: [Ix; N]) -> BTreeSet<String> {
    numbers.iter().map(|ix| format!("n{ix}")).collect()
}

fn heard(world: &World, ix: Ix, event: impl Fn(&Event) -> bool) -> usize {
    world.events(ix).iter().filter(|heard| event(heard)).count()
}

#[test]
fn meet_joins_and_both_sides_hear_who_is_up() -> Result {
    let mut world = formed(1)?;
    let newcomer = add(&mut world)?;
    let outcome = ask(&mut world, newcomer, Command::Meet { address: address(2), expected: None })?;
    spreads(&mut world, newcomer, &outcome)?;
    let id = world.id(newcomer).clone();
    for ix in 0..4 {
        assert_eq!(
            heard(&world, ix, |event| matches!(event, Event::MemberUp { id: up, .. } if *up == id)),
            1
        );
    }
    assert_eq!(
        heard(&world, newcomer, |event| matches!(event, Event::MemberUp { .. })),
        5,
        "itself included"
    );
    Ok(())
}

#[test]
fn meeting_oneself_changes_nothing() -> Result {
    let mut world = formed(2)?;
    let before = machine(&world, 1).hashes();
    let outcome = ask(&mut world, 1, Command::Meet { address: address(1), expected: None })?;
    assert!(matches!(outcome, Outcome::Meet(Ok(_))));
    world.run_for(3_000)?;
    assert_eq!(machine(&world, 1).hashes(), before);
    Ok(())
}

#[test]
fn insert_invites_and_the_inserter_may_go() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed)?;
        let newcomer = add(&mut world)?;
        world.partition(&BTreeSet::from([newcomer]), false);
        let nodes = vec![insertion(&world, newcomer)];
        let outcome = ask(&mut world, 0, Command::Insert { nodes, force: false })?;
        assert!(matches!(outcome, Outcome::Insert(Ok(_))));
        world.run_for(1_000)?;
        let joining = machine(&world, 1).members().find(|member| member.id == *world.id(newcomer));
        assert_eq!(joining.map(|member| member.status), Some(Status::Joining), "it owns nothing yet");
        world.crash(0, Disk::Kept);
        world.heal();
        world.run_for(10_000)?;
        assert_eq!(members(&world, newcomer), names([0, 1, 2, 3, 4]), "seed {seed}");
    }
    Ok(())
}

#[test]
fn insert_many_and_remove_many_are_one_operation_each() -> Result {
    let mut world = formed(3)?;
    let (fourth, fifth) = (add(&mut world)?, add(&mut world)?);
    let nodes = vec![insertion(&world, fourth), insertion(&world, fifth)];
    let outcome = ask(&mut world, 1, Command::Insert { nodes, force: false })?;
    world.run_for(2_000)?;
    spreads(&mut world, 1, &outcome)?;
    assert_eq!(members(&world, 3), names([0, 1, 2, 3, 4, 5]));
    let ids = vec![world.id(fourth).clone(), world.id(fifth).clone()];
    let outcome = ask(&mut world, 2, Command::Remove { ids, force: false })?;
    spreads(&mut world, 2, &outcome)?;
    assert_eq!(members(&world, 3), names([0, 1, 2, 3]));
    for ix in [fourth, fifth] {
        assert_eq!(heard(&world, ix, |event| matches!(event, Event::Evicted { .. })), 1);
        assert_eq!(*machine(&world, ix).affiliation(), Affiliation::Evicted(name()));
    }
    for ix in [0, 1, 3] {
        assert_eq!(heard(&world, ix, |event| matches!(event, Event::Removed { .. })), 2);
    }
    Ok(())
}

#[test]
fn update_is_one_event_and_no_conflict() -> Result {
    let mut world = formed(4)?;
    let before = world.report().events;
    let id = world.id(0).clone();
    let outcome = ask(&mut world, 3, Command::Update { id, weight: 17 })?;
    spreads(&mut world, 3, &outcome)?;
    assert_eq!(world.report().events, before + 1);
    for ix in 0..4 {
        let member = machine(&world, ix).members().find(|member| member.id == *world.id(0));
        assert_eq!(member.map(|member| member.weight), Some(17));
        assert_eq!(heard(&world, ix, |event| matches!(event, Event::Conflict { .. })), 0);
    }
    Ok(())
}

/// Both siblings are shown, everywhere the same one is chosen, and a later write settles it.
#[test]
fn concurrent_updates_conflict_until_a_later_one_covers_both() -> Result {
    for seed in 0..20 {
        let mut world = formed(seed)?;
        world.partition(&BTreeSet::from([0, 1]), false);
        world.run_for(6_000)?;
        let id = world.id(3).clone();
        ask(&mut world, 0, Command::Update { id: id.clone(), weight: 10 })?;
        ask(&mut world, 2, Command::Update { id: id.clone(), weight: 20 })?;
        world.run_for(1_000)?;
        world.heal();
        world.settle(30_000)?;
        world.check()?;
        let chosen: BTreeSet<_> = world
            .running()
            .filter_map(|(_, machine)| machine.members().find(|member| member.id == id).map(|m| m.weight))
            .collect();
        assert_eq!(chosen.len(), 1, "seed {seed}");
        let both = |event: &Event| matches!(event, Event::Conflict { id: of, siblings, chosen } if *of == id && siblings.len() == 2 && *chosen < 2);
        for ix in 0..4 {
            assert!(heard(&world, ix, both) > 0, "seed {seed}, node {ix}");
            assert_eq!(machine(&world, ix).conflicts().collect::<Vec<_>>(), [&id]);
        }
        let outcome = ask(&mut world, 1, Command::Update { id: id.clone(), weight: 30 })?;
        spreads(&mut world, 1, &outcome)?;
        assert!((0..4).all(|ix| machine(&world, ix).conflicts().count() == 0));
    }
    Ok(())
}

#[test]
fn leave_is_acknowledged_and_join_comes_back() -> Result {
    for force in [false, true] {
        let mut world = formed(5)?;
        let outcome = ask(&mut world, 2, Command::Leave { force })?;
        assert!(matches!(outcome, Outcome::Leave(Ok(_))));
        world.settle(30_000)?;
        world.check()?;
        assert_eq!(members(&world, 0), names([0, 1, 3]));
        assert_eq!(*machine(&world, 2).affiliation(), Affiliation::Left(name()));
        for ix in 0..4 {
            assert_eq!(
                heard(&world, ix, |event| matches!(event, Event::Left { id } if id.as_str() == "n2")),
                1
            );
        }
        let before = machine(&world, 2).incarnation();
        let outcome = ask(&mut world, 2, Command::Join { ring: name() })?;
        assert!(matches!(outcome, Outcome::Join(Ok(_))));
        assert!(
            machine(&world, 2).incarnation() > before,
            "a new run, or what was said of the last would count"
        );
        let outcome = ask(&mut world, 2, Command::Meet { address: address(0), expected: None })?;
        spreads(&mut world, 2, &outcome)?;
        assert_eq!(members(&world, 0), names([0, 1, 2, 3]));
        let outcome = ask(&mut world, 2, Command::Join { ring: name() })?;
        assert!(matches!(outcome, Outcome::Join(Err(JoinError::AlreadyIn { .. }))));
    }
    Ok(())
}

#[test]
fn a_planned_stop_says_goodbye_and_stays_a_member() -> Result {
    let mut world = formed(6)?;
    let outcome = ask(&mut world, 3, Command::Announce { draining: Some(true), tags: None })?;
    spreads(&mut world, 3, &outcome)?;
    let draining = machine(&world, 0).members().find(|member| member.id == *world.id(3));
    assert_eq!(draining.map(|member| (member.status, member.is_up())), Some((Status::Draining, false)));
    assert!(matches!(ask(&mut world, 3, Command::Stop)?, Outcome::Stop));
    assert!(machine(&world, 3).is_stopped());
    world.run_for(1_000)?;
    let goodbyes =
        (0..3).map(|ix| heard(&world, ix, |event| matches!(event, Event::Goodbye { .. }))).sum::<usize>();
    assert_eq!(goodbyes, 3);
    assert_eq!(members(&world, 0), names([0, 1, 2, 3]), "no key moves for good");
    world.crash(3, Disk::Kept);
    world.restart(3, |_| {})?;
    world.run_for(5_000)?;
    world.settle(30_000)?;
    let back = machine(&world, 0).members().find(|member| member.id == *world.id(3));
    assert_eq!(back.map(|member| member.status), Some(Status::Member));
    Ok(())
}

#[test]
fn a_rolling_restart_of_every_node_changes_no_roster_record() -> Result {
    for seed in 0..10 {
        let mut world = formed(seed)?;
        let before = world.report().events;
        for ix in 0..4 {
            world.crash(ix, Disk::Kept);
            world.run_for(500)?;
            world.restart(ix, |_| {})?;
            world.run_for(4_000)?;
        }
        world.settle(30_000)?;
        world.check()?;
        assert_eq!(world.report().events, before, "seed {seed}: a restart alone writes nothing");
        assert_eq!(members(&world, 0), names([0, 1, 2, 3]));
    }
    Ok(())
}

#[test]
fn a_cold_start_of_the_whole_ring_needs_nobody_who_was_up() -> Result {
    for seed in 0..10 {
        let mut world = formed(seed)?;
        for ix in 0..4 {
            world.crash(ix, Disk::Kept);
        }
        world.run_for(60_000)?;
        for ix in 0..4 {
            world.restart(ix, |_| {})?;
            world.run_for(200)?;
        }
        // Pulls are answered at once; pushes start after one exchange or three seconds.
        world.run_for(4_000)?;
        world.settle(30_000)?;
        world.check()?;
        for ix in 0..4 {
            assert_eq!(members(&world, ix), names([0, 1, 2, 3]), "seed {seed}");
        }
    }
    Ok(())
}

/// Nodes that do not know what a later version writes keep it, count it and pass it on.
#[test]
fn what_a_later_version_writes_passes_through_an_earlier_one() -> Result {
    let mut world = World::new(7);
    let later = Bytes::from_static(b"a field of version 2");
    for ix in 0..4 {
        world.add(|settings| {
            settings.ring = Some(name());
            if ix % 3 == 0 {
                settings.protocols = Protocols { oldest: 1, newest: 2 };
                settings.extension = later.clone();
            }
        })?;
        world.run_for(50)?;
        if ix > 0 {
            // A chain: what the first says reaches the last by those between, who do not understand it.
            world.command(ix, Command::Meet { address: address(ix - 1), expected: None })?;
            world.run_for(1_000)?;
        }
    }
    world.settle(30_000)?;
    world.check()?;
    for ix in 0..4 {
        for written_by in [0, 3] {
            let record = machine(&world, ix).records().find(|record| record.id == *world.id(written_by));
            let record = record.expect("a member");
            assert!(record.versions.values().all(|version| version.extension == later));
            assert_eq!(record.own.as_ref().map(|own| own.extension.clone()), Some(later.clone()));
        }
    }
    Ok(())
}

/// The incumbent keeps its place while it answers; the second is refused, and both are told.
#[test]
fn a_second_node_of_one_id_withdraws() -> Result {
    for with_disk in [true, false] {
        for seed in 0..10 {
            let mut world = formed(seed)?;
            let twin = world.add_twin(2, with_disk)?;
            world.run_for(1_000)?;
            if !with_disk {
                world.command(twin, Command::Meet { address: address(0), expected: None })?;
            }
            world.run_for(10_000)?;
            let standing = [2, twin].map(|ix| machine(&world, ix).affiliation().clone());
            let left = standing.iter().filter(|affiliation| affiliation.ring().is_some()).count();
            assert_eq!(left, 1, "seed {seed}, with a disk: {with_disk}: {standing:?}");
            let told = |ix: Ix| heard(&world, ix, |event| matches!(event, Event::DuplicateId { .. }));
            assert!(told(2) + told(twin) > 0, "seed {seed}");
            assert_eq!(members(&world, 0), names([0, 1, 2, 3]), "seed {seed}");
        }
    }
    Ok(())
}
