//! Nodes at the end of a line that is full.

use clusterluck::Cluster;
use clusterluck::netkernel::{Cookie, NodeId};
use tokio::task::JoinSet;

use crate::echo::{self, Echo, Say};
use crate::lab::{Lab, address};
use crate::support::{Place, in_time};

/// The line of one node is filled, both ways, for longer than it takes to hold it for down: by a member that calls it
/// with large messages, through the very sessions by which it is probed.
#[tokio::test]
async fn a_node_behind_a_saturated_line_is_not_held_for_down() {
    let Some(lab) = Lab::new("q", 4).await else { return };
    if !lab.slow_down(1, "8mbit").await {
        return;
    }
    let place = Place::new();
    let _nodes = lab.start_first(3, &place).await;
    let watchers = lab.watch(&place, &[0, 1, 2]).await;
    let cookie = Cookie::read_file(place.cookie()).unwrap();
    let member = async move || {
        let id = "talkative";
        let listen = format!("{}:7022", address(3));
        let cluster = Cluster::builder(id).cookie(cookie).listen(listen).start().await.unwrap();
        in_time(cluster.meet(format!("{}:7022", address(0)))).await.unwrap();
        let echo = cluster.addr::<Echo>(&NodeId::new("n1").unwrap(), echo::NAME);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let echo = echo.clone();
            callers.spawn(async move {
                for nth in 0..CALLS {
                    let text = nth.to_string().repeat(TEXT_BYTES);
                    let heard = echo.call(Say { text: text.clone() }).without_timeout().await.unwrap();
                    assert!(heard.text == text && heard.node == "n1", "something else came back");
                }
            });
        }
        in_time(callers.join_all()).await;
        let others: Vec<_> = cluster.view().members().iter().map(|member| member.liveness).collect();
        in_time(cluster.shutdown(std::time::Duration::from_secs(10))).await;
        format!("{others:?}")
    };
    let waited = lab.waits_for(1).await;
    let seen = lab.inside(3, member).await;
    let waited = lab.waits_for(1).await - waited;
    assert!(waited > 1_000, "the line was never full: {waited} packets had to wait");
    assert_eq!(seen, "[Alive, Alive, Alive, Alive]", "as the one that filled the line sees it");
    for watcher in &watchers {
        let down = watcher.down();
        assert!(down.iter().all(|id| id == "talkative"), "{down:?} held for down");
    }
}

/// Enough that there is always something to send: together 16 MB each way, some sixteen seconds of the line.
const CALLERS: usize = 8;
const CALLS: usize = 8;
const TEXT_BYTES: usize = 256 * 1_024;
