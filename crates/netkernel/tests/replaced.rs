//! Sessions that replace each other, or are closed, while one end is behind: what was sent arrives or is told as lost, at
//! both ends, and nothing arrives after the link's end was told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::time::Duration;

use bytes::Bytes;
use common::line::Line;
use common::{SECOND, TestNode, config, id, next, node, server, settle, start};
use netkernel::{CallError, DownReason, Incarnation, MemoryNetwork, Net, PeerEvent, PeerEvents};
use shim::{MARK, PING, Shim, call, cast, control, define, frames, goaway, mark};
use tokio::time::Instant;

/// A session of the peer `a`, its id, and a second that has taken over from it.
async fn taken_over(network: &MemoryNetwork, b: &TestNode) -> ((Shim, u64), Shim) {
    let (mut first, session) = Shim::welcomed(network, b, "a", Shim::hello("a", 1)).await;
    first.finish().await.expect("READY");
    first.record(&[mark(&[]), define(1, "sink"), define(2, "hold")].concat()).await;
    settle().await;
    let mut second = Shim::connect(network, b, "a").await;
    second.record(&mark(&[(session, false)])).await;
    settle().await;
    ((first, session), second)
}

/// What is told until nothing more is, but for dials in vain.
async fn told(events: &mut PeerEvents) -> Vec<PeerEvent> {
    let mut told = Vec::new();
    while let Ok(event) = tokio::time::timeout(SECOND / 100, events.recv()).await {
        told.extend(event.unwrap());
    }
    told.retain(|event| !matches!(event, PeerEvent::Unreachable { .. }));
    told
}

/// Casts one after the other, numbered, of a kilobyte each.
fn cast_numbered(from: &TestNode, to: &TestNode, count: u32) {
    for number in 0..count {
        let mut body = number.to_be_bytes().to_vec();
        body.resize(1_000, 0);
        from.kernel.try_cast(&to.id(), &server("sink"), body.into()).unwrap();
    }
}

/// The numbers of the casts that have arrived.
fn arrived(at: &mut TestNode) -> Vec<u32> {
    let bodies = std::iter::from_fn(|| at.casts.try_recv().ok());
    bodies.map(|(_, body)| u32::from_be_bytes(body[..4].try_into().unwrap())).collect()
}

/// However long what went by the session before takes to arrive: it arrives, before what follows, and neither end takes
/// the other for dead meanwhile, though calls wait that cannot be read before it.
#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_arrives_when_a_session_over_a_slow_line_is_replaced() {
    for dialed_by_slow in [true, false] {
        let network = MemoryNetwork::new();
        let a = node(&network, "a").await;
        let line = Line::slow(network.host("b"), 2_000);
        let mut b = start(config(&network, "b", 1).transport(line)).await;
        b.connect(&a);
        b.echo(&a, "connected").await.unwrap();
        let mut events = [a.kernel.events(), b.kernel.events()];
        // Half a minute.
        cast_numbered(&a, &b, 60);
        settle().await;
        let begun = Instant::now();
        let (dialer, other) = if dialed_by_slow { (&b, &a) } else { (&a, &b) };
        dialer.kernel.dial(&other.address(), None, 3 * SECOND).await.unwrap();
        let call = a.kernel.call(&b.id(), &server("echo"), Bytes::from("after"), 60 * SECOND);
        assert_eq!(call.await.unwrap(), "after");
        assert!(begun.elapsed() > 25 * SECOND, "{:?}", begun.elapsed());
        assert_eq!(arrived(&mut b), (0..60).collect::<Vec<_>>());
        for events in &mut events {
            assert_eq!(told(events).await, []);
        }
        assert_eq!((a.sessions(&b), b.sessions(&a)), (1, 1));
    }
}

/// A way that dies with the first connection: its reader finds nothing for so long, though the sender, who has read a GOAWAY
/// and written its own, took it for well ended. So both learn of it.
#[tokio::test(start_paused = true)]
async fn what_a_peer_never_read_of_a_session_that_ended_well_here_is_told_as_lost() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let line = Line::fast(network.host("b"));
    let mut b = start(config(&network, "b", 1).transport(line.clone())).await;
    b.connect(&a);
    b.echo(&a, "connected").await.unwrap();
    a.connect(&b);
    let mut events = [a.kernel.events(), b.kernel.events()];
    line.set_behind(true);
    // What was being read goes through.
    a.kernel.try_cast(&b.id(), &server("nobody"), Bytes::new()).unwrap();
    settle().await;
    cast_numbered(&a, &b, 60);
    settle().await;
    b.kernel.dial(&a.address(), None, SECOND).await.unwrap();
    settle().await;
    assert_eq!((a.sessions(&b), b.sessions(&a)), (1, 2), "it has ended at one end");
    tokio::time::sleep(11 * SECOND).await;
    a.echo(&b, "again").await.unwrap();
    assert_eq!(arrived(&mut b), []);
    for events in &mut events {
        let told = told(events).await;
        assert!(matches!(told[..], [PeerEvent::Down { .. }, PeerEvent::Up { .. }]), "{told:?}");
    }
    assert_eq!(a.kernel.peers()[0].casts_unacknowledged.messages, 0, "its windows are whole again");
}

/// The same, seen from the end whose session breaks: it tells the other, that may have ended it in good order.
#[tokio::test(start_paused = true)]
async fn a_session_that_breaks_after_its_goaway_is_named_to_the_peer() {
    for answered in [true, false] {
        let network = MemoryNetwork::new();
        let b = node(&network, "b").await;
        let ((mut first, session), mut second) = taken_over(&network, &b).await;
        if answered {
            first.record(&goaway(0)).await;
            settle().await;
        }
        drop(first);
        settle().await;
        second.record(&control(PING, 1)).await;
        settle().await;
        let mut marks = Vec::new();
        while let Ok(record) = tokio::time::timeout(SECOND, second.next_record()).await {
            let record = record.expect("it lives");
            marks.extend(
                frames(&record).iter().filter(|frame| frame.kind == MARK).map(|mark| mark.body.to_vec()),
            );
        }
        let named = |lost| frames(&mark(&[(session, lost)]))[0].body.to_vec();
        let expected = if answered { vec![named(false)] } else { vec![named(false), named(true)] };
        assert_eq!(marks, expected, "answered {answered}");
    }
}

/// The same, seen from the end that is told so.
#[tokio::test(start_paused = true)]
async fn a_peer_that_lost_a_session_which_ended_well_here_loses_the_link() {
    for (ended, broke) in [(true, true), (true, false), (false, true)] {
        let network = MemoryNetwork::new();
        let mut b = node(&network, "b").await;
        let mut events = b.kernel.events();
        let (mut first, session) = Shim::welcomed(&network, &b, "a", Shim::hello("a", 1)).await;
        first.finish().await.unwrap();
        first.record(&[mark(&[]), define(1, "hold"), call(1, 1, b"")].concat()).await;
        let executing = b.held.recv().await.unwrap();
        let waiting = b.kernel.call(&id("a"), &server("x"), Bytes::new(), 60 * SECOND);
        b.kernel.try_cast(&id("a"), &server("x"), Bytes::from("written")).unwrap();
        settle().await;
        let mut second = Shim::connect(&network, &b, "a").await;
        second.record(&control(PING, 1)).await;
        settle().await;
        if ended {
            first.record(&goaway(0)).await;
            settle().await;
        }
        assert_eq!(b.kernel.peers()[0].sessions, 2 - usize::from(ended));
        second.record(&mark(&[(session, broke)])).await;
        settle().await;
        let is_lost = ended && broke;
        let told = told(&mut events).await;
        let down = told.iter().any(|event| matches!(event, PeerEvent::Down { .. }));
        assert_eq!(down, is_lost, "{told:?}");
        let unacknowledged = b.kernel.peers().first().map_or(0, |peer| peer.casts_unacknowledged.messages);
        assert_eq!(unacknowledged, usize::from(!broke));
        assert_eq!(executing.is_cancelled(), broke);
        match tokio::time::timeout(SECOND, waiting).await {
            Ok(waited) => assert_eq!((waited, broke), (Err(CallError::LinkDown), true)),
            Err(_waits_on) => assert!(!broke),
        }
    }
}

/// A node becomes a later run of itself while it is behind in reading its peer. The peer is done with the closed session
/// first, and dials again at once: the new session does not pass for the old one's successor.
#[tokio::test(start_paused = true)]
async fn a_session_closed_while_one_end_is_behind_leaves_no_call_hanging_and_no_window_shut() {
    let network = MemoryNetwork::new();
    let mut a = node(&network, "a").await;
    let line = Line::fast(network.host("b"));
    let b = start(config(&network, "b", 1).transport(line.clone())).await;
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    let mut events = [a.kernel.events(), b.kernel.events()];
    // A call that `a` executes, and casts of which less than a quarter of a window: `a` owes credit for them.
    let call = b.kernel.call(&a.id(), &server("hold"), Bytes::new(), 60 * SECOND);
    let executing = a.held.recv().await.unwrap();
    cast_numbered(&b, &a, 100);
    settle().await;
    line.set_behind(true);
    // What was being read goes through.
    a.kernel.try_cast(&b.id(), &server("nobody"), Bytes::new()).unwrap();
    settle().await;
    b.kernel.set_incarnation(Incarnation(2));
    settle().await;
    assert!(executing.is_cancelled(), "its link is down at that end");
    tokio::time::sleep(5 * SECOND).await;
    assert!(!a.sees(&b), "no session is made before the other end knows that, too");
    line.set_behind(false);
    let begun = Instant::now();
    assert_eq!(call.await, Err(CallError::LinkDown));
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    a.echo(&b, "again").await.unwrap();
    assert_eq!(b.kernel.peers()[0].casts_unacknowledged.messages, 0);
    for events in &mut events {
        let told = told(events).await;
        assert!(matches!(told[..], [PeerEvent::Down { .. }, PeerEvent::Up { .. }]), "{told:?}");
    }
}

/// Over a slow line, too, with a session before the one that is closed.
#[tokio::test(start_paused = true)]
async fn down_is_told_after_the_last_message() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let line = Line::slow(network.host("b"), 3_000);
    let mut b = start(config(&network, "b", 1).transport(line)).await;
    b.connect(&a);
    b.echo(&a, "connected").await.unwrap();
    let mut events = b.kernel.events();
    cast_numbered(&a, &b, 30);
    settle().await;
    b.kernel.dial(&a.address(), None, 3 * SECOND).await.unwrap();
    settle().await;
    cast_numbered(&a, &b, 20);
    a.kernel.disconnect(&b.id(), true);
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(matches!(down, PeerEvent::Down { reason: DownReason::Closed, .. }), "{down:?}");
    assert_eq!(arrived(&mut b), (0..30).chain(0..20).collect::<Vec<_>>());
    settle().await;
    assert_eq!(arrived(&mut b), []);
}

/// The session that carries messages breaks while the one before it is still being read: that ends with it.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_peer_arrives_after_it_was_told_as_down() {
    let network = MemoryNetwork::new();
    let mut b = node(&network, "b").await;
    let mut events = b.kernel.events();
    let mut first = Shim::connect(&network, &b, "a").await;
    first.record(&[define(1, "sink"), define(2, "hold")].concat()).await;
    settle().await;
    let mut second = Shim::connect(&network, &b, "a").await;
    second.record(&control(PING, 1)).await;
    first.record(&[cast(1, &[0; 4]), call(1, 2, b"")].concat()).await;
    let executing = b.held.recv().await.unwrap();
    drop(second);
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(matches!(down, PeerEvent::Down { reason: DownReason::LinkLost, .. }), "{down:?}");
    assert_eq!((arrived(&mut b), executing.is_cancelled()), (vec![0], true));
    first.record(&cast(1, &[1; 4])).await;
    settle().await;
    assert_eq!(arrived(&mut b), []);
    first.hung_up().await;
}

/// A peer has said that it goes on by another session: that one is waited for as long as it is being made.
#[tokio::test(start_paused = true)]
async fn a_link_waits_for_the_session_that_its_peer_goes_on_by() {
    for comes in [true, false] {
        let network = MemoryNetwork::new();
        let mut b = node(&network, "b").await;
        let mut events = b.kernel.events();
        let (mut first, session) = Shim::welcomed(&network, &b, "a", Shim::hello("a", 1)).await;
        first.finish().await.unwrap();
        first.record(&[mark(&[]), define(1, "hold"), call(7, 1, b"")].concat()).await;
        let executing = b.held.recv().await.unwrap();
        let waiting = b.kernel.call(&id("a"), &server("x"), Bytes::new(), 60 * SECOND);
        settle().await;
        let mut second = Shim::connect(&network, &b, "a").await;
        first.record(&goaway(0)).await;
        first.hung_up().await;
        // Longer than a handshake takes.
        tokio::time::sleep(5 * SECOND).await;
        let up = told(&mut events).await;
        assert!(matches!(up[..], [PeerEvent::Up { .. }]), "{up:?}");
        if comes {
            second.record(&[mark(&[(session, false)]), define(1, "sink"), cast(1, &[0; 4])].concat()).await;
            settle().await;
            assert_eq!((arrived(&mut b), executing.is_cancelled()), (vec![0], false));
            // A third that breaks is nothing to the calls of the first.
            drop(Shim::connect(&network, &b, "a").await);
            settle().await;
            assert!(!executing.is_cancelled() && told(&mut events).await.is_empty());
            drop(second);
        } else {
            drop(second);
        }
        settle().await;
        assert!(matches!(told(&mut events).await[..], [PeerEvent::Down { .. }]));
        assert!(executing.is_cancelled());
        assert_eq!(waiting.await, Err(CallError::LinkDown));
    }
}

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Casts of all sizes over a line that takes its time, while both ends dial, become later runs of themselves, and the
/// connections break: each cast arrives or is counted as lost where it was sent, no window stays shut, and one session is left.
/// What was still under way when a session that had been closed broke is told by `Down` alone: the count begins anew with that.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_without_a_word_whatever_becomes_of_the_sessions() {
    let mut counted = [0; 2];
    for seed in 0..40 {
        let network = MemoryNetwork::new();
        let moment = Duration::from_millis(1);
        let quick = |name| config(&network, name, 1).backoff(moment, 4 * moment);
        let mut numbers = Numbers(seed);
        let a = start(quick("a")).await;
        let line = Line::slow(network.host("b"), [20_000, 1_000_000][numbers.below(2) as usize]);
        let mut b = start(quick("b").transport(line)).await;
        b.connect(&a);
        a.connect(&b);
        b.echo(&a, "connected").await.unwrap();
        let (mut sent, mut incarnation, closes) = (0_u32, 1, seed % 2 == 0);
        let mut events = a.kernel.events();
        let lost = || {
            let traffic = a.kernel.peers()[0].traffic;
            traffic.messages_dropped + traffic.casts_unconfirmed
        };
        // Of which cast on, and how many were lost before.
        let mut since = (0, 0);
        for _ in 0..30 {
            for _ in 0..numbers.below(30) {
                let mut body = sent.to_be_bytes().to_vec();
                body.resize([10, 500, 3_000, 40_000][numbers.below(4) as usize], 0);
                sent += u32::from(a.kernel.try_cast(&b.id(), &server("sink"), body.into()).is_ok());
            }
            incarnation += 1;
            match numbers.below(if closes { 6 } else { 4 }) {
                0 => drop(a.kernel.dial(&b.address(), None, SECOND).await),
                1 => drop(b.kernel.dial(&a.address(), None, SECOND).await),
                2 => network.reset("a", "b"),
                3 => {}
                4 => a.kernel.set_incarnation(Incarnation(incarnation)),
                _ => b.kernel.set_incarnation(Incarnation(incarnation)),
            }
            for _ in 0..numbers.below(20) {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(moment * (numbers.below(3) * numbers.below(150)) as u32).await;
            if told_as_closed(&mut events).await {
                since = (sent, lost());
            }
        }
        tokio::time::sleep(400 * SECOND).await;
        if told_as_closed(&mut events).await {
            since = (sent, lost());
        }
        let ((first, before), lost) = (since, lost());
        let arrived = arrived(&mut b).iter().filter(|number| **number >= first).count() as u64;
        let of = u64::from(sent - first);
        assert!(
            arrived + lost - before >= of,
            "seed {seed}: of {of}, {arrived} arrived and {} were told as lost",
            lost - before
        );
        counted[usize::from(closes)] += of;
        let status = &a.kernel.peers()[0];
        // What is not worth a frame is less than a quarter of a window.
        assert!(status.casts_unacknowledged.messages < 1_024, "seed {seed}: {status:?}");
        assert!(status.casts_unacknowledged.bytes < 600_000, "seed {seed}: {status:?}");
        assert_eq!((a.sessions(&b), b.sessions(&a), a.sees(&b)), (1, 1, true), "seed {seed}");
    }
    assert!(counted.iter().all(|casts| *casts > 300), "{counted:?}");
}

/// Whether a link was told as down since this was last asked, because an end had closed it.
async fn told_as_closed(events: &mut PeerEvents) -> bool {
    use DownReason::{Closed, Disconnected, Restarted};
    let mut is_closed = false;
    while let Ok(event) = tokio::time::timeout(Duration::ZERO, events.recv()).await {
        let event = event.unwrap();
        is_closed |= matches!(event, Some(PeerEvent::Down { reason: Closed | Disconnected | Restarted, .. }));
    }
    is_closed
}
