//! Peers that fall silent, that take nothing of what is written to them, or that leave bulk unread.

#[path = "common/closing.rs"]
mod closing;
mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::time::Duration;

use bytes::Bytes;
use closing::Closing;
use common::line::Line;
use common::{SECOND, config, id, next, node, server, start};
use netkernel::{CallError, DownReason, MemoryNetwork, Net, PeerEvent};
use shim::{CAST, CHUNK, PING, PONG, Shim, control, frames};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// A stopped process neither answers nor hangs up: it is down when the configuration says, and not before.
#[tokio::test(start_paused = true)]
async fn a_stopped_process_is_down_on_time() {
    for (waits, configured, down_after) in [
        (false, None, 20 * SECOND),
        (true, None, 7 * SECOND),
        (false, Some((4, 1, 2)), 6 * SECOND),
        (true, Some((4, 1, 2)), 3 * SECOND),
    ] {
        let network = MemoryNetwork::new();
        let mut limits = config(&network, "a", 1);
        if let Some((idle, busy, timeout)) = configured {
            limits = limits.heartbeat(idle * SECOND, busy * SECOND, timeout * SECOND);
        }
        let (a, b) = (start(limits).await, node(&network, "b").await);
        a.connect(&b);
        a.echo(&b, "connected").await.unwrap();
        let mut events = a.kernel.events();
        let begun = Instant::now();
        network.mute("a", "b");
        let call = waits.then(|| a.kernel.call(&b.id(), &server("echo"), Bytes::new(), 60 * SECOND));
        let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
        assert!(matches!(down, PeerEvent::Down { reason: DownReason::Silent, .. }), "{down:?}");
        let took = begun.elapsed();
        // The busy patience is also how often an idle session looks whether calls wait now.
        let slack = 2 * SECOND + Duration::from_millis(100);
        assert!(took + Duration::from_millis(100) >= down_after && took <= down_after + slack, "{took:?}");
        if let Some(call) = call {
            assert_eq!(call.await, Err(CallError::LinkDown));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_for_the_configured_time_is_closed() {
    let network = MemoryNetwork::new();
    let b = start(config(&network, "b", 1).write_stall(3 * SECOND)).await;
    let stuck = Shim::connect(&network, &b, "stuck").await;
    let mut events = b.kernel.events();
    let begun = Instant::now();
    for number in 0..20 {
        let to = server(&format!("x{number}"));
        let _busy = b.kernel.try_cast(&id("stuck"), &to, vec![0; 100_000].into());
    }
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(matches!(down, PeerEvent::Down { reason: DownReason::Stalled, .. }), "{down:?}");
    assert_eq!(begun.elapsed().as_millis() / 100, 30);
    drop(stuck);
}

/// A peer that takes every byte off the connection and shows that it lives, but never says that it has read the bulk.
#[tokio::test(start_paused = true)]
async fn a_live_peer_that_leaves_bulk_unread_for_the_configured_time_is_closed() {
    for (configured, closed_after) in [(None, 10 * SECOND), (Some(4 * SECOND), 4 * SECOND)] {
        let network = MemoryNetwork::new();
        let mut limits = config(&network, "b", 1);
        if let Some(stall) = configured {
            limits = limits.write_stall(stall);
        }
        let b = start(limits).await;
        let mut events = b.kernel.events();
        let lazy = Shim::connect(&network, &b, "lazy").await;
        let (mut read, mut keys, mut write) = (lazy.channel.read, lazy.channel.seal, lazy.channel.write);
        let alive = async {
            for number in 0.. {
                let plain = control(PING, number);
                let header = u16::try_from(plain.len() + keys.overhead_bytes()).unwrap().to_be_bytes();
                let mut record = [&header[..], &plain].concat();
                keys.seal(header, &mut record, 2).unwrap();
                if write.write_all(&record).await.is_err() {
                    return number;
                }
                tokio::time::sleep(SECOND / 2).await;
            }
            unreachable!("the session ends before the numbers do")
        };
        let taking = async {
            let (mut taken, mut buffer) = (0, vec![0; 1 << 16]);
            while let Ok(bytes @ 1..) = read.read(&mut buffer).await {
                taken += bytes;
            }
            taken
        };
        let begun = Instant::now();
        b.kernel.try_cast(&id("lazy"), &server("sink"), vec![0; 4 << 20].into()).unwrap();
        let down = async {
            let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
            (down, begun.elapsed())
        };
        let ((down, took), taken, pings) = tokio::join!(down, taking, alive);
        assert!(matches!(down, PeerEvent::Down { reason: DownReason::Stalled, .. }), "{down:?}");
        // It is looked at with the heartbeats, every two seconds where bulk waits.
        assert!(took >= closed_after && took <= closed_after + 3 * SECOND, "{took:?}");
        assert!(pings >= 2 * closed_after.as_secs(), "it did not show that it lives: {pings} PINGs");
        assert!(taken > 64 << 10 && taken < 128 << 10, "{taken} bytes were written, of 4 MiB");
        assert_eq!(b.kernel.peers().len(), 0, "what waited is dropped with its link");
    }
}

/// The same peer, with answers: slow as it is, it keeps its session.
#[tokio::test(start_paused = true)]
async fn a_slow_peer_that_goes_on_reading_bulk_keeps_its_session() {
    let network = MemoryNetwork::new();
    let b = start(config(&network, "b", 1).write_stall(4 * SECOND)).await;
    let mut slow = Shim::connect(&network, &b, "slow").await;
    b.kernel.try_cast(&id("slow"), &server("sink"), vec![0; 1 << 20].into()).unwrap();
    let mut arrived = 0;
    while arrived < 1 << 20 {
        let record = slow.next_record().await.expect("the session lives");
        for frame in frames(&record) {
            match frame.kind {
                PING => {
                    // Heartbeats are not numbered; the others follow bulk.
                    if frame.id != 0 {
                        tokio::time::sleep(3 * SECOND).await;
                    }
                    slow.record(&control(PONG, frame.id)).await;
                }
                CAST | CHUNK => arrived += frame.body.len(),
                _ => {}
            }
        }
    }
    assert_eq!((arrived, b.kernel.peers()[0].traffic.sessions), (1 << 20, 1));
}

/// Whatever the limits of silence and of writes: a peer that reads all the time, slow as its line is, keeps its session,
/// and both ends know that the other lives.
#[tokio::test(start_paused = true)]
async fn bulk_over_a_slow_line_ends_no_session() {
    for a_second in [4_000, 12_000, 40_000] {
        let network = MemoryNetwork::new();
        let a = node(&network, "a").await;
        let line = Line::slow(network.host("b"), a_second);
        let mut b = start(config(&network, "b", 1).transport(line)).await;
        b.connect(&a);
        b.echo(&a, "connected").await.unwrap();
        let begun = Instant::now();
        let body = Bytes::from(vec![7; 400_000]);
        a.kernel.try_cast(&b.id(), &server("sink"), body.clone()).unwrap();
        // Calls pending at both ends make both ask for signs of life more often.
        let calls = [(&a, b.id()), (&b, a.id())]
            .map(|(from, to)| from.kernel.call(&to, &server("hold"), Bytes::new(), 600 * SECOND));
        let arrived = tokio::time::timeout(300 * SECOND, b.casts.recv()).await.expect("it arrives");
        assert_eq!(arrived.unwrap().1, body);
        assert!(begun.elapsed().as_secs_f64() > 0.9 * 400_000.0 / a_second as f64, "{:?}", begun.elapsed());
        for node in [&a, &b] {
            assert_eq!(node.kernel.peers()[0].traffic.sessions, 1, "{a_second} bytes a second");
        }
        drop(calls);
    }
}

/// A session that has ended in good order waits for its connection to close no longer than for one that takes nothing.
#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_close_holds_up_no_end() {
    let network = MemoryNetwork::new();
    let closing = Closing::new(network.host("a"), || Box::pin(tokio::time::sleep(3_600 * SECOND)));
    let (a, b) = (start(config(&network, "a", 1).transport(closing)).await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    let (mut events, begun) = (a.kernel.events(), Instant::now());
    b.kernel.shutdown(5 * SECOND).await;
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(matches!(down, PeerEvent::Down { reason: DownReason::Closed, .. }), "{down:?}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}
