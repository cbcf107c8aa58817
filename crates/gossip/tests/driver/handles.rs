//! Shutdown awaits every task, and handles that are dropped at any time leave none behind.

use std::sync::Arc;
use std::time::Duration;

use gossip::{Config, Gossip, MemoryStore, Reach, ShutdownError, Unavailable, UpdateError};
use netkernel::MemoryNetwork;
use tokio::runtime::Handle;

use super::common::{SECOND, TestNode, id, kernel, ring, start};

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Lets time pass on the paused clock.
async fn passed(time: Duration) {
    tokio::time::advance(Duration::ZERO).await;
    tokio::time::sleep(time).await;
}

/// Waits until no more tasks run than so many.
async fn at_most(count: usize) {
    let ended = tokio::time::timeout(10 * SECOND, async {
        while tasks() > count {
            passed(SECOND / 100).await;
        }
    });
    assert!(ended.await.is_ok(), "{} tasks are left of {count}", tasks());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_returns_when_every_task_has_ended() {
    let network = MemoryNetwork::new();
    let kernel = kernel(&network, "a").await;
    let before = tasks();
    let config = Config::builder().ring(ring("ring")).build().unwrap();
    let store = Arc::new(MemoryStore::new());
    let gossip = Gossip::start(Arc::new(kernel.clone()), config, store.clone()).await.unwrap();
    let nobody = netkernel::Address::new("nobody", 1).unwrap();
    let meeting = {
        let gossip = gossip.clone();
        async move { gossip.meet(&nobody).await }
    };
    let own = id("a");
    let updating = gossip.update(&own, 5);
    let (met, updated, stopped) = tokio::join!(meeting, updating, gossip.shutdown(10 * SECOND));
    stopped.unwrap();
    assert!(met.is_err());
    drop(updated);
    assert_eq!(Arc::strong_count(&store), 1, "a task is left that holds it");
    at_most(before).await;
    assert!(matches!(gossip.update(&id("a"), 5).await, Err(UpdateError::Unavailable(Unavailable::Stopped))));
    assert_eq!(gossip.shutdown(SECOND).await, Ok(()), "a second time there is nothing to do");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_time_cuts_off_and_says_so() {
    let network = MemoryNetwork::new();
    let a = start(&network, "a", "ring").await;
    let within = Duration::ZERO;
    let stopped = a.gossip.shutdown(within).await;
    assert!(matches!(stopped, Err(ShutdownError { .. })), "{stopped:?}");
    assert!(
        tokio::time::timeout(10 * SECOND, async { while a.gossip.update(&id("a"), 5).await.is_ok() {} })
            .await
            .is_ok()
    );
}

/// Starts two nodes, lets the first do what it is told for so long, and drops everything of it.
async fn dropped_after(ms: u64, shut_down: bool) {
    let network = MemoryNetwork::new();
    let before = tasks();
    let a = start(&network, "a", "ring").await;
    let b = start(&network, "b", "ring").await;
    let work = async {
        a.gossip.meet(&b.address()).await?;
        let operation = a.gossip.update(&b.id(), 80).await?;
        a.gossip.propagated(operation, Reach::All, 5 * SECOND).await?;
        a.gossip.leave(false).await?;
        a.gossip.join(ring("ring")).await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    // Cut off in the middle, or long done.
    let _cut_off = tokio::time::timeout(Duration::from_millis(ms), work).await;
    let TestNode { kernel, gossip, door } = a;
    if shut_down {
        gossip.shutdown(10 * SECOND).await.unwrap();
    }
    drop(gossip);
    door.shut();
    kernel.shutdown(5 * SECOND).await;
    drop(kernel);
    b.stop().await;
    at_most(before).await;
}

/// Without a mesh there is nobody to gossip with: no task of gossip's outlives it, handles or not.
#[tokio::test(start_paused = true)]
async fn a_kernel_that_shuts_down_takes_gossip_with_it() {
    let network = MemoryNetwork::new();
    let before = tasks();
    let b = start(&network, "b", "ring").await;
    let a = start(&network, "a", "ring").await;
    a.gossip.meet(&b.address()).await.unwrap();
    a.knows(2).await;
    let mut events = a.gossip.events();
    a.kernel.shutdown(5 * SECOND).await;
    // Until it stops, the other node dials the one that is gone.
    b.stop().await;
    at_most(before).await;
    while events.recv().await.unwrap().is_some() {}
    assert!(matches!(
        a.gossip.update(&id("a"), 5).await,
        Err(UpdateError::Unavailable(Unavailable::Stopped))
    ));
    assert_eq!(a.gossip.shutdown(SECOND).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn handles_dropped_at_any_time_leave_no_task() {
    for ms in (0..40).chain((40..400).step_by(40)) {
        dropped_after(ms, false).await;
        dropped_after(ms, true).await;
    }
}
