//! What waits to be sent, and who wakes it: senders, bulk, and calls that their callers have left.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, id, next, node, server, settle, small, start};
use netkernel::{Address, CallError, MemoryNetwork, Net, OfflinePolicy, PeerEvent, SendError, Stage};
use shim::{CAST, CHUNK, PING, RESET, Shim, control, frames};

/// A cast that finds no room while the peer is away goes as soon as it is back, and not at its deadline.
#[tokio::test(start_paused = true)]
async fn a_cast_that_waits_for_room_goes_when_the_peer_comes_back() {
    let network = MemoryNetwork::new();
    let a = start(config(&network, "a", 1).offline_queue(0, 0, 30 * SECOND)).await;
    let address: Address = "b:7".parse().unwrap();
    a.kernel.connect(&id("b"), &address);
    let (to, sink) = (id("b"), server("sink"));
    let casting = async {
        a.kernel.cast(&to, &sink, Bytes::from("now"), 60 * SECOND).await.unwrap();
        tokio::time::Instant::now()
    };
    let serving = async {
        settle().await;
        let mut b = start(config(&network, "b", 1).listen(address.clone())).await;
        let up = next(&mut b.kernel.events(), |event| matches!(event, PeerEvent::Up { .. })).await;
        drop(up);
        let up = tokio::time::Instant::now();
        assert_eq!(b.casts.recv().await.unwrap().1, "now");
        up
    };
    let (cast, up) = tokio::join!(casting, serving);
    assert!(cast.saturating_duration_since(up) < SECOND, "it slept on");
}

/// Bulk waits at a session until the peer has read what went by the one before; that one breaks, and it goes on.
#[tokio::test(start_paused = true)]
async fn bulk_held_up_by_an_earlier_session_goes_on_when_that_breaks() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut first = Shim::connect(&network, &b, "a").await;
    let cast = |to: &str| b.kernel.try_cast(&id("a"), &server(to), vec![0; 600_000].into()).unwrap();
    cast("one");
    // All that may be under way is taken, and no milestone is answered.
    let mut taken = 0;
    while let Ok(record) = tokio::time::timeout(SECOND / 10, first.next_record()).await {
        let record = record.unwrap();
        let bulk = frames(&record).into_iter().filter(|frame| matches!(frame.kind, CAST | CHUNK));
        taken += bulk.map(|frame| frame.body.len()).sum::<usize>();
    }
    assert!(taken > 0 && taken < 600_000, "{taken}");
    cast("other");
    let mut second = Shim::connect(&network, &b, "a").await;
    second.record(&control(PING, 1)).await;
    settle().await;
    drop(first);
    let begun = tokio::time::Instant::now();
    let (mut reset, mut came) = (false, 0);
    while !reset || came == 0 {
        let record = second.next_record().await.unwrap();
        for frame in frames(&record) {
            reset |= frame.kind == RESET;
            came += if matches!(frame.kind, CAST | CHUNK) { frame.body.len() } else { 0 };
        }
    }
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
}

/// A call that is dropped gives its place back, whatever its deadline was.
#[tokio::test(start_paused = true)]
async fn calls_that_their_callers_have_left_make_room_at_once() {
    for policy in [OfflinePolicy::FailNew, OfflinePolicy::DropOldest] {
        for (count, bytes) in [(1_024, 0), (2, (4 << 20) - 96)] {
            let network = MemoryNetwork::new();
            let a = start(config(&network, "a", 1).offline_policy(policy)).await;
            a.kernel.connect(&id("away"), &"away:1".parse().unwrap());
            let hour = 3_600 * SECOND;
            let call = || a.kernel.call(&id("away"), &server("x"), vec![0; bytes].into(), hour);
            let calls: Vec<_> = (0..count).map(|_| call()).collect();
            let full = a.kernel.call(&id("away"), &server("x"), vec![0; bytes].into(), hour).await;
            assert_eq!(full, Err(CallError::Busy { node: id("away") }));
            drop(calls);
            let body = Bytes::from(vec![0; 100]);
            a.kernel.try_cast(&id("away"), &server("sink"), body).expect("there is room again");
            let status = &a.kernel.peers()[0];
            assert_eq!((status.queued_messages, status.calls_pending), (1, 0), "{policy:?}");
            // Without anything new that asks for room, what is left is dropped when the peer is next dialed in vain.
            drop(call());
            tokio::time::sleep(10 * SECOND).await;
            assert_eq!(a.kernel.peers()[0].queued_messages, 1, "{policy:?}");
        }
    }
}

/// Those who time out beside them are told the truth: nothing was sent.
#[tokio::test(start_paused = true)]
async fn a_call_that_still_waits_is_not_dropped_with_those_that_were_left() {
    let network = MemoryNetwork::new();
    let a = start(config(&network, "a", 1).offline_queue(3, 1 << 20, 30 * SECOND)).await;
    a.kernel.connect(&id("b"), &"b:7".parse().unwrap());
    let call = |body: &'static str, timeout| a.kernel.call(&id("b"), &server("echo"), body.into(), timeout);
    let stays = call("stays", 60 * SECOND);
    let late = call("late", Duration::from_millis(10)).await;
    assert_eq!(late, Err(CallError::Timeout { stage: Stage::Queued }));
    drop(call("left", 60 * SECOND));
    let more = call("more", 60 * SECOND);
    let b = start(config(&network, "b", 1).listen("b:7".parse().unwrap())).await;
    assert_eq!((stays.await.unwrap(), more.await.unwrap()), (Bytes::from("stays"), Bytes::from("more")));
    drop(b);
}

/// A server's whole window.
fn window() -> Bytes {
    vec![0; 2 << 20].into()
}

/// Of casts that wait for the same server none is passed by a later one, and one that is dropped when its turn has come
/// passes that on.
#[tokio::test(start_paused = true)]
async fn casts_that_wait_keep_their_order_and_pass_on_a_turn_that_is_not_used() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 1).await;
    let a = node(&network, "a").await;
    a.kernel.connect(&id("b"), &b.local().address);
    let (to, full, hour) = (id("b"), server("full"), 3_600 * SECOND);
    let cast = || a.kernel.cast(&to, &full, window(), hour);
    // One is in the mailbox, and one waits for it with all there is of credit.
    for _ in 0..2 {
        cast().await.unwrap();
        settle().await;
    }
    let (mut first, mut second) = (cast(), cast());
    let is_done = async |cast: &mut (dyn Future<Output = Result<(), SendError>> + Send + Unpin)| {
        std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *cast).poll(context).is_ready()))
            .await
    };
    assert!(!is_done(&mut first).await && !is_done(&mut second).await);
    mailbox.recv().await.unwrap();
    settle().await;
    assert!(!is_done(&mut second).await, "it has passed the first");
    let late = a.kernel.try_cast(&to, &full, window());
    assert!(matches!(late, Err(SendError::Busy { .. })), "it has passed those that wait: {late:?}");
    drop(first);
    let in_time = tokio::time::timeout(SECOND, second).await;
    in_time.expect("it is told at once").unwrap();
}

/// Many that wait for a server that takes nothing hold up none for another.
#[tokio::test(start_paused = true)]
async fn casts_that_wait_for_one_server_hold_up_none_for_another() {
    let network = MemoryNetwork::new();
    let (b, mut mailbox) = small(&network, "b", 1).await;
    let a = node(&network, "a").await;
    a.kernel.connect(&id("b"), &b.local().address);
    let (to, full, other) = (id("b"), server("full"), server("other"));
    next(&mut a.kernel.events(), |event| matches!(event, PeerEvent::Up { .. })).await;
    let casting = async {
        let casts = (0..300).map(|_| a.kernel.cast(&to, &full, window(), SECOND)).collect();
        outcomes(casts).await
    };
    let beside = async {
        settle().await;
        for _ in 0..300 {
            a.kernel.cast(&to, &other, Bytes::new(), SECOND / 10).await.unwrap();
        }
    };
    let (casts, ()) = tokio::join!(casting, beside);
    let sent = casts.iter().filter(|cast| cast.is_ok()).count();
    assert_eq!(sent, 2, "one is in the mailbox, one waits for it");
    assert!(mailbox.recv().await.is_some());
}

/// What comes of casts that are all under way.
async fn outcomes(
    mut casts: Vec<impl Future<Output = Result<(), SendError>> + Unpin>,
) -> Vec<Result<(), SendError>> {
    let mut ends: Vec<_> = casts.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (cast, end) in casts.iter_mut().zip(&mut ends).filter(|(_, end)| end.is_none()) {
            if let Poll::Ready(outcome) = std::pin::Pin::new(cast).poll(context) {
                *end = Some(outcome);
            }
        }
        if ends.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ends.into_iter().flatten().collect()
}
