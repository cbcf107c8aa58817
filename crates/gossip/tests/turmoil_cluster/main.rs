//! The driver on hosts of a simulated network with clocks and runtimes of their own: delay, reordering between peers,
//! resets, partitions and restarts. Nothing is lost, all agree in the end, and every operation ends by its deadline.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod network;
mod ring;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gossip::{LeaveError, PropagationError, Reach};
use ring::{Nodes, SECOND, address, all_agree, all_see, hosts, id, node, passed, simulation};

const NAMES: &[&str] = &["a", "b", "c", "d", "e"];

/// Inserts a member of this name that nobody can reach, and expects that this ends by its deadline, which is 5 s.
async fn insert(nodes: &Nodes, by: &str, name: &str) -> bool {
    let Some(node) = node(nodes, by) else { return false };
    let ghost = netkernel::Address::new("192.0.2.1", 1).unwrap();
    let inserted = tokio::time::timeout(6 * SECOND, node.insert(id(name), ghost, None, false)).await;
    inserted.expect("it ends by its deadline").is_ok()
}

#[test]
fn changes_on_both_sides_of_a_partition_are_kept() {
    let mut simulation = simulation(1);
    let nodes = hosts(&mut simulation, NAMES);
    simulation.client("operator", async move {
        all_agree(&nodes, NAMES, 5).await;
        for one in ["a", "b", "c"] {
            ["d", "e"].iter().for_each(|other| turmoil::partition(one, *other));
        }
        let (left, right) = (node(&nodes, "a").unwrap(), node(&nodes, "e").unwrap());
        assert!(insert(&nodes, "a", "left").await && insert(&nodes, "e", "right").await);
        let operation = left.update(&id("a"), 33).await?;
        let reached = left.propagated(operation, Reach::All, 3 * SECOND).await;
        assert!(matches!(reached, Err(PropagationError::Deadline { needed: 4, .. })), "{reached:?}");
        // Two of five are too few to acknowledge a leave: it ends with its deadline, and the node stays.
        let begun = tokio::time::Instant::now();
        let left_ring = tokio::time::timeout(8 * SECOND, right.leave(false)).await;
        let left_ring = left_ring.expect("it ends by its deadline");
        assert!(matches!(left_ring, Err(LeaveError::NotAcknowledged { .. })), "{left_ring:?}");
        assert!(begun.elapsed() >= 5 * SECOND);
        for one in ["a", "b", "c"] {
            ["d", "e"].iter().for_each(|other| turmoil::repair(one, *other));
        }
        all_agree(&nodes, NAMES, 7).await;
        let all = ["left", "right"];
        all_see(&nodes, NAMES, "both", |view| all.iter().all(|name| view.member(&id(name)).is_some())).await;
        all_see(&nodes, NAMES, "the weight", |view| view.member(&id("a")).unwrap().weight == 33).await;
        Ok(())
    });
    simulation.run().unwrap();
}

#[test]
fn a_link_that_passes_one_way_only_is_got_around() {
    let mut simulation = simulation(2);
    let nodes = hosts(&mut simulation, NAMES);
    simulation.client("operator", async move {
        all_agree(&nodes, NAMES, 5).await;
        turmoil::partition_oneway("a", "e");
        for at in 0..5 {
            let changed = node(&nodes, "a").unwrap().update(&id("e"), 50 + at).await?;
            let spread = node(&nodes, "a").unwrap().propagated(changed, Reach::Members(3), 10 * SECOND).await;
            assert!(spread.is_ok(), "{spread:?}");
            all_see(&nodes, NAMES, "it", |view| view.member(&id("e")).unwrap().weight == 50 + at).await;
        }
        turmoil::repair_oneway("a", "e");
        all_agree(&nodes, NAMES, 5).await;
        Ok(())
    });
    simulation.run().unwrap();
}

#[test]
fn connections_that_are_reset_all_the_time_lose_nothing() {
    let mut simulation = simulation(3);
    let nodes = hosts(&mut simulation, NAMES);
    simulation.client("operator", async move {
        all_agree(&nodes, NAMES, 5).await;
        let mut kept = Vec::new();
        for at in 0..20 {
            let name = format!("x{at}");
            if insert(&nodes, NAMES[at % 5], &name).await {
                kept.push(name);
            }
            network::reset_all();
            passed(Duration::from_millis(37 * at as u64)).await;
        }
        assert_eq!(kept.len(), 20, "no insert needs the network");
        all_agree(&nodes, NAMES, 25).await;
        all_see(&nodes, NAMES, "all", |view| kept.iter().all(|name| view.member(&id(name)).is_some())).await;
        Ok(())
    });
    simulation.run().unwrap();
}

/// Steps of 10 ms until the clients are done; `act` may hurt hosts before each.
fn run(mut simulation: turmoil::Sim<'static>, mut act: impl FnMut(&mut turmoil::Sim<'static>, usize)) {
    for step in 0.. {
        act(&mut simulation, step);
        if simulation.step().unwrap() {
            return;
        }
    }
}

#[test]
fn hosts_that_crash_and_come_back_agree_on_everything_that_was_acknowledged() {
    let mut simulation = simulation(4);
    let nodes = hosts(&mut simulation, NAMES);
    // How many inserts are done, which says when the next host crashes.
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let shared = Arc::clone(&nodes);
    simulation.client("operator", async move {
        all_agree(&nodes, NAMES, 5).await;
        let mut kept = Vec::new();
        for at in 0..25 {
            let name = format!("x{at}");
            if insert(&nodes, NAMES[at % 5], &name).await {
                kept.push(name);
            }
            done.fetch_add(1, Ordering::SeqCst);
            passed(SECOND / 3).await;
        }
        assert!(kept.len() >= 15, "most of the nodes are there most of the time: {kept:?}");
        all_agree(&nodes, NAMES, 5 + kept.len()).await;
        all_see(&nodes, NAMES, "all", |view| kept.iter().all(|name| view.member(&id(name)).is_some())).await;
        Ok(())
    });
    let mut crashed: Option<(&'static str, usize)> = None;
    let mut next = 1;
    run(simulation, |simulation, step| match crashed {
        None if counted.load(Ordering::SeqCst) >= next * 4 && next <= 5 => {
            let name = NAMES[next % 5];
            shared.lock().unwrap().remove(name);
            simulation.crash(name);
            crashed = Some((name, step + 150));
            next += 1;
        }
        Some((name, at)) if step >= at => {
            simulation.bounce(name);
            crashed = None;
        }
        _ => {}
    });
}

#[test]
fn a_meet_that_is_held_up_succeeds_and_one_that_is_cut_off_ends_by_its_deadline() {
    let mut simulation = simulation(5);
    let nodes = hosts(&mut simulation, &["a", "b"]);
    simulation.client("operator", async move {
        all_agree(&nodes, &["a", "b"], 2).await;
        // Held up for a while it comes to a good end.
        turmoil::hold("a", "b");
        let (a, b) = (node(&nodes, "a").unwrap(), address("b"));
        let released = async {
            passed(2 * SECOND).await;
            turmoil::release("a", "b");
        };
        let (met, ()) = tokio::join!(a.meet(&b), released);
        assert!(met.is_ok(), "{met:?}");
        turmoil::partition("a", "b");
        let met = tokio::time::timeout(7 * SECOND, a.meet(&b)).await;
        assert!(met.expect("it ends by its deadline").is_err());
        Ok(())
    });
    simulation.run().unwrap();
}
