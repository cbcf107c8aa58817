//! Messages that come in pieces, from a peer that a test drives by hand: which pieces belong together, and which end.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use bytes::Bytes;
use common::{SECOND, TestNode, id, next, node, server, settle};
use netkernel::{MemoryNetwork, Net, PeerEvent};
use shim::{CALL, CANCEL, CAST, CHUNK, FIRST, REPLY, RESET, Shim, control, define, frame, frames};

const LAST: u8 = 2;
const OF_A_REPLY: u8 = 8;

async fn pair() -> (MemoryNetwork, TestNode, Shim) {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut shim = Shim::connect(&network, &b, "mallory").await;
    shim.record(&[define(1, "sink"), define(2, "hold")].concat()).await;
    settle().await;
    (network, b, shim)
}

/// The first piece of a message of so many bytes to a server, and its last.
fn first(kind: u8, id: u64, to: u64, total: u64, body: &[u8]) -> Vec<u8> {
    frame(kind, FIRST, id, Some((to, 60_000, total)), body)
}

fn last(id: u64, body: &[u8]) -> Vec<u8> {
    frame(CHUNK, LAST, id, None, body)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cancelled_while_it_arrives_is_not_executed() {
    let (_network, mut b, mut shim) = pair().await;
    shim.record(&first(CALL, 5, 2, 4, b"be")).await;
    shim.record(&[control(CANCEL, 5), last(5, b"en")].concat()).await;
    settle().await;
    assert!(b.held.try_recv().is_err());
    shim.record(&[first(CALL, 6, 2, 4, b"be"), last(6, b"en")].concat()).await;
    settle().await;
    assert!(b.held.try_recv().is_ok(), "one that is not cancelled is");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_reset_is_forgotten_and_its_number_free() {
    let (_network, mut b, mut shim) = pair().await;
    let number = 1 << 63;
    shim.record(&[first(CAST, number, 1, 4, b"ol"), control(RESET, number), last(number, b"d.")].concat())
        .await;
    shim.record(&[first(CAST, number, 1, 3, b"ne"), last(number, b"w")].concat()).await;
    assert_eq!(b.casts.recv().await.unwrap().1, "new");
    assert!(b.casts.try_recv().is_err());
}

/// Requests are numbered by their sender and replies by their receiver: of two that have one number each is itself.
#[tokio::test(start_paused = true)]
async fn a_request_and_a_reply_of_one_number_arrive_side_by_side() {
    let (_network, mut b, mut shim) = pair().await;
    let call = b.kernel.call(&id("mallory"), &server("x"), Bytes::from("what?"), 60 * SECOND);
    let number = loop {
        let record = shim.next_record().await.unwrap();
        if let Some(call) = frames(&record).into_iter().find(|frame| frame.kind == CALL) {
            break call.id;
        }
    };
    let reply_first = frame(REPLY, FIRST, number, Some((0, 0, 6)), b"tha");
    let reply_last = frame(CHUNK, LAST | OF_A_REPLY, number, None, b"t's");
    shim.record(&[first(CALL, number, 2, 4, b"an"), reply_first].concat()).await;
    // The end of one is none of the other's.
    shim.record(&[control(CANCEL, number), first(CALL, number, 2, 4, b"an")].concat()).await;
    shim.record(&[last(number, b"d?"), reply_last].concat()).await;
    assert_eq!(call.await.unwrap(), "that's");
    assert!(b.held.recv().await.is_some());
}

/// The pieces of a session that is lost are not completed by those of the next.
#[tokio::test(start_paused = true)]
async fn pieces_of_a_lost_session_are_forgotten() {
    let (network, mut b, mut shim) = pair().await;
    let number = 1 << 63;
    shim.record(&first(CAST, number, 1, 4, b"ol")).await;
    settle().await;
    drop(shim);
    settle().await;
    let mut again = Shim::connect(&network, &b, "mallory").await;
    again.record(&[define(1, "sink"), last(number, b"d."), shim::cast(1, b"new")].concat()).await;
    assert_eq!(b.casts.recv().await.unwrap().1, "new");
}

/// Nor are those of an instance of the peer that was found dead completed by its successor's.
#[tokio::test(start_paused = true)]
async fn pieces_of_an_earlier_instance_are_forgotten() {
    let (network, mut b, mut shim) = pair().await;
    let number = 1 << 63;
    shim.record(&first(CAST, number, 1, 4, b"ol")).await;
    settle().await;
    let mut events = b.kernel.events();
    let mut successor = Shim::connect_as(&network, &b, "elsewhere", Shim::hello_of("mallory", 2, 8)).await;
    next(&mut events, |event| matches!(event, PeerEvent::Up { .. })).await;
    successor.record(&[define(1, "sink"), last(number, b"d."), shim::cast(1, b"new")].concat()).await;
    assert_eq!(b.casts.recv().await.unwrap().1, "new");
    drop(shim);
}
