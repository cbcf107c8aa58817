//! Partitions of real nodes in network namespaces.

use std::collections::BTreeSet;

use crate::lab::Lab;
use crate::support::{Place, eventually};

#[tokio::test]
async fn both_sides_of_a_partition_write_and_nothing_is_lost() {
    let Some(lab) = Lab::new("s", 5).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    lab.pass_both(&[0, 1, 2], &[3, 4], false).await;
    // Both write before either knows that it is alone, and after.
    lab.insert(&place, 1, "left-early").await;
    lab.insert(&place, 3, "right-early").await;
    for (at, of) in [(0, [3, 4]), (4, [1, 2])] {
        lab.comes_to_see(&place, at, &of, "down").await;
    }
    lab.insert(&place, 0, "left").await;
    lab.insert(&place, 4, "right").await;
    assert!(lab.members(&place, 0).await.iter().all(|member| member["id"] != "right"));
    lab.pass_both(&[0, 1, 2], &[3, 4], true).await;
    for at in 0..5 {
        lab.comes_to_have(&place, at, &["left", "left-early", "right", "right-early"]).await;
    }
    lab.all_alive(&place, &[0, 1, 2, 3, 4]).await;
}

#[tokio::test]
async fn a_node_that_hears_and_is_not_heard_is_down_until_it_is() {
    let Some(lab) = Lab::new("o", 4).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    let watchers = lab.watch(&place, &[0, 1, 2]).await;
    lab.pass(&[3], &[0, 1, 2], false).await;
    for at in 0..3 {
        lab.comes_to_see(&place, at, &[3], "down").await;
    }
    lab.pass(&[3], &[0, 1, 2], true).await;
    lab.all_alive(&place, &[0, 1, 2, 3]).await;
    for watcher in &watchers {
        assert_eq!(
            watcher.down(),
            BTreeSet::from(["n3".to_owned()]),
            "those who hear each other keep each other"
        );
    }
}

#[tokio::test]
async fn a_node_between_two_sides_keeps_both_alive() {
    let Some(lab) = Lab::new("b", 5).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    let watchers = lab.watch(&place, &[0, 1, 2, 3]).await;
    // What would be down is by the time that this node is, which only one side hears.
    lab.pass_both(&[4], &[0, 1, 2, 3], false).await;
    lab.pass_both(&[0], &[1, 3], false).await;
    lab.comes_to_see(&place, 0, &[4], "down").await;
    lab.comes_to_see(&place, 3, &[4], "down").await;
    lab.insert(&place, 0, "over").await;
    for at in 1..4 {
        lab.comes_to_have(&place, at, &["over"]).await;
    }
    for watcher in &watchers {
        assert_eq!(watcher.down(), BTreeSet::from(["n4".to_owned()]));
    }
}

#[tokio::test]
async fn a_partition_that_flaps_loses_nothing() {
    let Some(lab) = Lab::new("f", 4).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    let written = ["x0", "x1", "x2", "x3", "x4", "x5"];
    for (round, id) in written.iter().enumerate() {
        lab.pass_both(&[0, 1], &[2, 3], false).await;
        lab.insert(&place, round % 4, id).await;
        // Now and then for as long as it takes to be noticed, else for less than a probe.
        if round % 2 == 1 {
            lab.comes_to_see(&place, 0, &[2, 3], "down").await;
        }
        lab.pass_both(&[0, 1], &[2, 3], true).await;
        if round == 3 {
            lab.comes_to_see(&place, 0, &[2, 3], "alive").await;
        }
    }
    for at in 0..4 {
        lab.comes_to_have(&place, at, &written).await;
    }
    lab.all_alive(&place, &[0, 1, 2, 3]).await;
}

#[tokio::test]
async fn a_node_removed_while_it_was_away_learns_it_and_stays_out() {
    let Some(lab) = Lab::new("r", 4).await else { return };
    let place = Place::new();
    let _nodes = lab.start(&place).await;
    lab.pass_both(&[3], &[0, 1, 2], false).await;
    lab.comes_to_see(&place, 0, &[3], "down").await;
    assert!(lab.run(&place, 0, &["remove", "n3"]).await.success);
    lab.pass_both(&[3], &[0, 1, 2], true).await;
    eventually("n3 knows that it was removed", async || {
        lab.run(&place, 3, &["info"]).await.document()["data"]["ring"].is_null()
    })
    .await;
    for at in 0..3 {
        let members = lab.members(&place, at).await;
        assert!(members.iter().all(|member| member["id"] != "n3"), "n{at} has it back: {members:?}");
    }
}
