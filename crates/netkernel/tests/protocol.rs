//! Peers that hold the cookie and break the protocol: each case of the design's adversarial list.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use bytes::Bytes;
use common::{SECOND, TestNode, id, next, node, server, settle};
use netkernel::{DownReason, MemoryNetwork, Net, PeerEvent, PeerStatus};
use shim::{
    CALL, CANCEL, CAST, CHUNK, CREDIT, FIRST, MARK, PING, REPLY, RESET, Shim, WHOLE, call, cast, control,
    credit, define, frame, frames,
};

/// A node with a good peer, and a bad one.
struct Scene {
    a: TestNode,
    b: TestNode,
    bad: Shim,
}

async fn scene(network: &MemoryNetwork) -> Scene {
    let (a, b) = (node(network, "a").await, node(network, "b").await);
    a.connect(&b);
    a.echo(&b, "before").await.unwrap();
    let bad = Shim::connect(network, &b, "mallory").await;
    Scene { a, b, bad }
}

impl Scene {
    fn status(&self) -> Option<PeerStatus> {
        self.b.kernel.peers().into_iter().find(|peer| peer.id == id("mallory"))
    }

    /// The bad peer's session is closed for breaking the protocol, and the good one's is not disturbed.
    async fn expect_closed(mut self, what: &str) {
        self.bad.hung_up().await;
        settle().await;
        assert!(self.status().is_none(), "{what}: something is left of the bad peer");
        self.a.echo(&self.b, "undisturbed").await.unwrap();
        assert_eq!(self.b.sessions(&self.a), 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_malformed_record_closes_its_session_and_no_other() {
    let huge = u64::MAX;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a frame that claims more than its record", vec![0xff, 0xff, 0x7f, CAST, WHOLE]),
        ("a frame of 2^64 bytes", vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ("a frame without a kind", vec![0]),
        ("an unknown kind that may not be skipped", frame(0x3f, 0, 0, None, b"")),
        ("a message without its head", frame(CAST, 0, 0, None, b"x")),
        ("a server that was never named", cast(1, b"x")),
        ("a server of number 0, which none has", frame(CAST, WHOLE, 0, Some((0, 0, 2)), b"hi")),
        ("a name out of sequence", define(2, "sink")),
        ("a name that is none", define(1, "\n")),
        (
            "a message of 2^64 bytes",
            [define(1, "sink"), frame(CAST, FIRST, 1, Some((1, 0, huge)), b"x")].concat(),
        ),
        (
            "a whole message that says another length",
            [define(1, "sink"), frame(CAST, WHOLE, 0, Some((1, 0, 2)), b"xyz")].concat(),
        ),
        (
            "a message longer than it said",
            [define(1, "sink"), frame(CAST, FIRST, 1, Some((1, 0, 2)), b"xyz")].concat(),
        ),
        (
            "a message that begins twice",
            [
                define(1, "sink"),
                frame(CAST, FIRST, 1, Some((1, 0, 9)), b"x"),
                frame(CAST, FIRST, 1, Some((1, 0, 9)), b"x"),
            ]
            .concat(),
        ),
        (
            "a call under the number of another",
            [define(1, "hold"), call(5, 1, b""), call(5, 1, b"")].concat(),
        ),
        ("credit that is none", frame(CREDIT, 0, 0, None, &[0x80])),
    ];
    for (what, bytes) in cases {
        let network = MemoryNetwork::new();
        let mut scene = scene(&network).await;
        let mut events = scene.b.kernel.events();
        scene.bad.record(&bytes).await;
        let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
        assert!(matches!(down, PeerEvent::Down { reason: DownReason::Protocol, .. }), "{what}: {down:?}");
        scene.expect_closed(what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_kinds_from_0x40_up_and_stray_frames_are_passed_over() {
    let network = MemoryNetwork::new();
    let mut scene = scene(&network).await;
    let stray = [
        frame(0x40, 0, 0, None, b"later"),
        frame(CHUNK, 2, 77, None, b"of nothing"),
        control(CANCEL, 78),
        control(RESET, 79),
        frame(REPLY, WHOLE, 80, Some((0, 0, 1)), b"x"),
        credit("nobody", 5, 5),
        define(1, "sink"),
        cast(1, b"still heard"),
    ];
    scene.bad.record(&stray.concat()).await;
    assert_eq!(scene.b.casts.recv().await.unwrap(), (id("mallory"), Bytes::from("still heard")));
}

/// The sender is whoever the handshake proved, whatever a message says of itself: fault 23 of the original.
#[tokio::test(start_paused = true)]
async fn fault_23_the_sender_is_the_sessions_peer() {
    let network = MemoryNetwork::new();
    let mut scene = scene(&network).await;
    let mut forged = cast(1, b"from a?");
    // The source field of the head, which is a name of the sender's own: it means nothing to the receiver.
    forged[5] = 1;
    scene.bad.record(&[define(1, "sink"), forged].concat()).await;
    assert_eq!(scene.b.casts.recv().await.unwrap().0, id("mallory"));
}

#[tokio::test(start_paused = true)]
async fn a_replayed_reordered_truncated_or_reflected_record_closes_the_session() {
    for what in ["replayed", "reordered", "truncated", "reflected"] {
        let network = MemoryNetwork::new();
        let mut scene = scene(&network).await;
        let first = scene.bad.sealed(&control(PING, 1));
        let second = scene.bad.sealed(&control(PING, 2));
        let bytes = match what {
            "replayed" => [first.clone(), first].concat(),
            "reordered" => [second, first].concat(),
            "truncated" => {
                let mut short = first[..first.len() - 1].to_vec();
                short[1] -= 1;
                short
            }
            _ => scene.bad.next_sealed().await.unwrap(),
        };
        scene.bad.raw(&bytes).await;
        scene.expect_closed(what).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_flipped_byte_of_a_record_closes_the_session() {
    let bytes = 2 + control(PING, 1).len() + 16;
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    for index in 0..bytes {
        let mut bad = Shim::connect(&network, &b, "mallory").await;
        let mut record = bad.sealed(&control(PING, 1));
        record[index] ^= 0x40;
        bad.raw(&record).await;
        // A changed length makes the node wait for more, which then does not open either.
        bad.raw(&[0; 0x5000]).await;
        bad.hung_up().await;
        settle().await;
        assert!(b.kernel.peers().is_empty(), "byte {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_reset_in_mid_record_or_mid_message_leaves_nothing_behind() {
    for in_record in [true, false] {
        let network = MemoryNetwork::new();
        let mut scene = scene(&network).await;
        let begun =
            [define(1, "sink"), frame(CAST, FIRST, 1 << 63, Some((1, 0, 1 << 20)), &[7; 1_000])].concat();
        let mut record = scene.bad.sealed(&begun);
        if in_record {
            record.truncate(500);
        }
        scene.bad.raw(&record).await;
        settle().await;
        let Scene { a, mut b, bad } = scene;
        drop(bad);
        settle().await;
        assert!(b.kernel.peers().iter().all(|peer| peer.id != id("mallory")));
        let mut again = Shim::connect(&network, &b, "mallory").await;
        // The rest of a message of the lost session, then a whole one.
        let rest = [frame(CHUNK, 2, 1 << 63, None, b"rest"), define(1, "sink"), cast(1, b"new")].concat();
        again.record(&rest).await;
        assert_eq!(b.casts.recv().await.unwrap().1, "new");
        a.echo(&b, "undisturbed").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn floods_of_control_frames_disturb_nobody() {
    let network = MemoryNetwork::new();
    let mut scene = scene(&network).await;
    let mut named = 0;
    for round in 0..200u64 {
        let mut record = Vec::new();
        for index in 0..500 {
            let id = round * 500 + index;
            match index % 4 {
                0 => record.extend(control(CANCEL, id)),
                1 => record.extend(control(RESET, id)),
                2 => record.extend(control(PING, id)),
                _ => {
                    named += 1;
                    record.extend(define(named, &format!("server {named}")));
                }
            }
        }
        // The flooding peer reads nothing, so what answers it waits, up to a limit.
        if !scene.bad.record(&record).await {
            break;
        }
        tokio::task::yield_now().await;
    }
    let status = scene.status().unwrap();
    assert!(status.queued_control <= 4_096, "{status:?}");
    scene.a.echo(&scene.b, "undisturbed").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn more_credit_than_was_spent_opens_no_more_than_the_window() {
    let network = MemoryNetwork::new();
    let mut scene = scene(&network).await;
    scene.bad.record(&[credit("x", u64::MAX, u64::MAX), credit("x", u64::MAX, u64::MAX)].concat()).await;
    settle().await;
    let to = id("mallory");
    let sent =
        (0..10_000).filter(|_| scene.b.kernel.try_cast(&to, &server("x"), Bytes::new()).is_ok()).count();
    assert_eq!(sent, 4_096);
    scene.bad.record(&credit("x", 10, 0)).await;
    settle().await;
    let sent = (0..50).filter(|_| scene.b.kernel.try_cast(&to, &server("x"), Bytes::new()).is_ok()).count();
    assert_eq!(sent, 10);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_held_within_limits_and_then_closed() {
    let network = MemoryNetwork::new();
    let scene = scene(&network).await;
    let mut events = scene.b.kernel.events();
    let (to, body) = (id("mallory"), Bytes::from(vec![1; 100_000]));
    for number in 0..500 {
        let _busy = scene.b.kernel.try_cast(&to, &server(&format!("x{number}")), body.clone());
        tokio::task::yield_now().await;
    }
    let status = scene.status().unwrap();
    assert!(status.queued_bytes < (1 << 20) + 200_000, "{status:?}");
    scene.a.echo(&scene.b, "undisturbed").await.unwrap();
    let begun = tokio::time::Instant::now();
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    let stalled = matches!(&down, PeerEvent::Down { reason: DownReason::Stalled | DownReason::Silent, .. });
    assert!(stalled, "{down:?}");
    assert!(begun.elapsed() <= 21 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_peer_are_bounded_and_the_rest_is_answered_overloaded() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let b = common::start(common::config(&network, "b", 1).calls_max(10)).await;
    a.connect(&b);
    let mut bad = Shim::connect(&network, &b, "mallory").await;
    let calls: Vec<u8> = (0..20).flat_map(|id| call(id, 1, b"")).collect();
    bad.record(&[define(1, "hold"), calls].concat()).await;
    let mut refused = 0;
    while refused < 10 {
        let record = bad.next_record().await.unwrap();
        let of_calls = frames(&record).into_iter().filter(|frame| frame.kind == REPLY);
        refused +=
            of_calls.inspect(|frame| assert_eq!((frame.flags, frame.body), (WHOLE | 4, &[2][..]))).count();
    }
    assert_eq!(refused, 10);
    let status = b.kernel.peers().into_iter().find(|peer| peer.id == id("mallory")).unwrap();
    assert_eq!(status.calls_executing, 10);
    assert_eq!(
        frame(CALL, WHOLE, 300, Some((3, 5_000, 2)), b"hi"),
        [12, 2, 3, 0xac, 2, 3, 0, 0x88, 0x27, 2, 0, b'h', b'i']
    );
    a.echo(&b, "undisturbed").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_ignores_its_credit_loses_only_its_own_casts_and_is_told() {
    let network = MemoryNetwork::new();
    let (kernel, mut mailbox) = common::small(&network, "b", 1).await;
    let b =
        TestNode { kernel, casts: tokio::sync::mpsc::channel(1).1, held: tokio::sync::mpsc::channel(1).1 };
    let mut greedy = Shim::connect(&network, &b, "greedy").await;
    greedy.record(&define(1, "sink")).await;
    for _ in 0..100 {
        let record: Vec<u8> = (0..100).flat_map(|_| cast(1, b"more")).collect();
        greedy.record(&record).await;
    }
    settle().await;
    let status = &b.kernel.peers()[0];
    assert_eq!(status.casts_held.messages, 8_192);
    assert_eq!(status.traffic.casts_refused, 10_000 - 8_192 - 1);
    let mut arrived = 0;
    while arrived < 8_193 {
        mailbox.recv().await.unwrap();
        arrived += 1;
    }
    settle().await;
    assert_eq!(b.kernel.peers()[0].casts_held.messages, 0);
    assert!(mailbox.try_recv().is_err());
}

/// A peer that claims to have refused more than it was sent does not spoil the count.
#[tokio::test(start_paused = true)]
async fn no_more_casts_are_counted_as_refused_than_were_sent() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut peer = Shim::connect(&network, &b, "peer").await;
    peer.record(&frame(MARK, 0, 0, None, b"")).await;
    settle().await;
    for _ in 0..3 {
        b.kernel.try_cast(&id("peer"), &server("sink"), Bytes::from("x")).unwrap();
    }
    let mut body = Vec::new();
    [2, 2, u64::MAX].into_iter().for_each(|number| shim::put_varint(&mut body, number));
    body.extend_from_slice(b"sink");
    let lie = frame(CREDIT, 0, 0, None, &body);
    for counted in [2, 3, 3] {
        peer.record(&lie).await;
        settle().await;
        assert_eq!(b.kernel.peers()[0].traffic.casts_refused_by_peer, counted);
    }
}
