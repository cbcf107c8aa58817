//! How a kernel ends: what waits is sent, sessions are closed, tasks and events end.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, id, next, node, server, settle};
use netkernel::{
    CallError, DownReason, Executed, Kernel, MemoryNetwork, Net, PeerEvent, SendError, Stopped, Transport,
};
use shim::{CAST, GOAWAY, MARK, PING, PONG, Shim, control, credit, frame, frames};
use tokio::io::AsyncWriteExt;

#[tokio::test(start_paused = true)]
async fn shutdown_sends_what_waits_and_leaves_nothing_behind() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let mut events = b.kernel.events();
    for number in 0..1_000u32 {
        let body = Bytes::copy_from_slice(&number.to_be_bytes());
        a.kernel.try_cast(&b.id(), &server("sink"), body).unwrap();
    }
    a.echo(&b, "connected").await.unwrap();
    assert_eq!(a.kernel.shutdown(5 * SECOND).await, Stopped::Drained);
    for number in 0..1_000u32 {
        assert_eq!(b.casts.recv().await.unwrap().1[..], number.to_be_bytes());
    }
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(matches!(down, PeerEvent::Down { reason: DownReason::Closed, .. }), "{down:?}");
    assert!(a.kernel.peers().is_empty());
    let after = a.kernel.call(&b.id(), &server("echo"), Bytes::new(), SECOND).await;
    assert_eq!(after.unwrap_err(), CallError::ShuttingDown);
}

/// Fault 26 of the original: a graceful stop with a queued message never ended. Here, with a peer that was never there,
/// one that has gone, and one that neither takes the message nor hangs up: for that one the time runs out.
#[tokio::test(start_paused = true)]
async fn fault_26_shutdown_ends_also_when_the_peer_is_away() {
    for (peer, ends, within) in
        [("never there", Stopped::Drained, 0), ("gone", Stopped::Drained, 0), ("stuck", Stopped::Forced, 5)]
    {
        let network = MemoryNetwork::new();
        let (a, b) = (node(&network, "a").await, node(&network, "b").await);
        if peer == "never there" {
            a.kernel.connect(&id("b"), &"b:1".parse().unwrap());
        } else {
            a.connect(&b);
            a.echo(&b, "connected").await.unwrap();
        }
        match peer {
            "gone" => network.cut("a", "b"),
            "stuck" => network.mute("a", "b"),
            _ => {}
        }
        settle().await;
        a.kernel.try_cast(&id("b"), &server("sink"), vec![0; 1 << 20].into()).unwrap();
        settle().await;
        assert_eq!(a.kernel.peers()[0].queued_messages, 1, "{peer}");
        let begun = tokio::time::Instant::now();
        let stopped = tokio::time::timeout(60 * SECOND, a.kernel.shutdown(5 * SECOND)).await;
        assert_eq!((stopped, begun.elapsed().as_secs()), (Ok(ends), within), "{peer}");
    }
}

/// What was written may wait unread at a peer that has room for it, so nothing but the peer's GOAWAY shows that it has read
/// all: one that never answers, or hangs up, or breaks, leaves that open. It is waited for while it is heard.
#[tokio::test(start_paused = true)]
async fn drained_means_that_every_peer_said_that_it_has_read_all() {
    for (peer, ends, within) in [
        ("answers", Stopped::Drained, 0),
        ("is slow", Stopped::Drained, 27),
        ("never answers", Stopped::Forced, 10),
        ("hangs up", Stopped::Forced, 0),
        ("says nonsense", Stopped::Forced, 0),
    ] {
        let network = MemoryNetwork::new();
        let a = node(&network, "a").await;
        let mut shim = Shim::connect(&network, &a, "peer").await;
        shim.record(&frame(MARK, 0, 0, None, b"")).await;
        settle().await;
        a.kernel.try_cast(&id("peer"), &server("sink"), Bytes::from("unread")).unwrap();
        settle().await;
        let begun = tokio::time::Instant::now();
        let answering = async {
            settle().await;
            match peer {
                "is slow" => {
                    for _ in 0..3 {
                        tokio::time::sleep(9 * SECOND).await;
                        shim.record(&control(PING, 1)).await;
                    }
                    shim.record(&frame(GOAWAY, 0, 0, None, &[0])).await;
                }
                "answers" => drop(shim.record(&frame(GOAWAY, 0, 0, None, &[0])).await),
                "says nonsense" => drop(shim.record(&frame(GOAWAY, 0, 0, None, &[9])).await),
                "hangs up" => shim.channel.write.shutdown().await.unwrap(),
                _ => {}
            }
        };
        let (stopped, ()) = tokio::join!(a.kernel.shutdown(60 * SECOND), answering);
        assert_eq!((stopped, begun.elapsed().as_secs()), (ends, within), "{peer}");
        drop(shim);
    }
}

/// Whoever waits for a shutdown learns how it went, also where another one forced it or it is long over.
#[tokio::test(start_paused = true)]
async fn of_several_shutdowns_none_says_drained_where_one_forced() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    network.mute("a", "b");
    a.kernel.try_cast(&b.id(), &server("sink"), vec![0; 1 << 20].into()).unwrap();
    settle().await;
    let (patient, hasty) = tokio::join!(a.kernel.shutdown(60 * SECOND), a.kernel.shutdown(SECOND));
    let again = a.kernel.shutdown(SECOND).await;
    assert_eq!((patient, hasty, again), (Stopped::Forced, Stopped::Forced, Stopped::Forced));
}

/// Whatever a cast waits for, a shutdown hands it back at once: nothing is taken that would be dropped.
#[tokio::test(start_paused = true)]
async fn casts_that_wait_are_handed_back_when_a_shutdown_begins() {
    for (waits_for, bytes) in [("credit", 0), ("room", 16_000)] {
        let network = MemoryNetwork::new();
        let a = node(&network, "a").await;
        let mut peer = Shim::connect(&network, &a, "peer").await;
        peer.record(&frame(MARK, 0, 0, None, b"")).await;
        settle().await;
        // For one server as many as a window has; for others as many as the network takes and may wait.
        let name = |number: usize| server(&format!("x{}", number * bytes));
        let mut taken = 0;
        while a.kernel.try_cast(&id("peer"), &name(taken), vec![0; bytes].into()).is_ok() {
            taken += 1;
            if taken % 50 == 0 {
                settle().await;
            }
        }
        let mut casts = tokio::task::JoinSet::new();
        for number in taken..taken + 100 {
            let (kernel, name) = (a.kernel.clone(), name(number));
            casts.spawn(
                async move { kernel.cast(&id("peer"), &name, Bytes::from("waits"), 60 * SECOND).await },
            );
        }
        settle().await;
        assert_eq!(casts.len(), 100, "they wait for {waits_for}");
        let mut seen = 0;
        let reading = async {
            settle().await;
            while let Some(record) = peer.next_record().await {
                for frame in frames(&record) {
                    match frame.kind {
                        CAST => seen += 1,
                        PING => drop(peer.record(&control(PONG, frame.id)).await),
                        GOAWAY => drop(peer.record(&shim::frame(GOAWAY, 0, 0, None, &[0])).await),
                        _ => {}
                    }
                }
            }
        };
        let begun = tokio::time::Instant::now();
        let stopping = a.kernel.shutdown(20 * SECOND);
        let ending = async { (casts.join_all().await, begun.elapsed()) };
        let (stopped, (), (ended, took)) = tokio::join!(stopping, reading, ending);
        for cast in ended {
            assert!(matches!(&cast, Err(SendError::ShuttingDown { body }) if *body == "waits"), "{cast:?}");
        }
        assert!(took < SECOND, "{took:?}");
        assert_eq!((stopped, seen), (Stopped::Drained, taken), "{waits_for}");
    }
}

/// Nobody waits for a kernel that is dropped, but for its calls somebody does.
#[tokio::test(start_paused = true)]
async fn calls_of_a_kernel_that_is_dropped_end_at_once_and_say_whether_they_were_sent() {
    let network = MemoryNetwork::new();
    let (mut a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    a.kernel.connect(&id("away"), &"away:1".parse().unwrap());
    let call = |from: &Kernel, to: &str| from.call(&id(to), &server("hold"), Bytes::new(), 60 * SECOND);
    let (written, queued) = (call(&a.kernel, "b"), call(&a.kernel, "away"));
    let of_peer = call(&b.kernel, "a");
    let (at_peer, here) = (b.held.recv().await.unwrap(), a.held.recv().await.unwrap());
    let begun = tokio::time::Instant::now();
    drop(a.kernel);
    let (written, queued) = (written.await.unwrap_err(), queued.await.unwrap_err());
    assert_eq!((written.clone(), written.executed()), (CallError::LinkDown, Executed::Maybe));
    assert_eq!((queued.clone(), queued.executed()), (CallError::ShuttingDown, Executed::No));
    assert!(here.is_cancelled(), "nobody waits for what is executed here");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(of_peer.await, Err(CallError::LinkDown));
    at_peer.cancelled().await;
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
}

/// On threads, where the last handle goes while records are read and sessions are written to.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_kernel_that_is_dropped_while_it_is_called_forgets_no_call() {
    for round in 0..60 {
        let network = MemoryNetwork::new();
        let (mut a, b) = (node(&network, "a").await, node(&network, "b").await);
        a.connect(&b);
        a.echo(&b, "connected").await.unwrap();
        let call = |from: &Kernel, to: &str| from.call(&id(to), &server("hold"), Bytes::new(), 60 * SECOND);
        let kernel = b.kernel.clone();
        let mut calling = tokio::task::JoinSet::new();
        calling.spawn(async move {
            let mut calls = Vec::new();
            for number in 0..200 {
                calls.push(call(&kernel, "a"));
                if number % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            calls
        });
        let own: Vec<_> = (0..round).map(|_| call(&a.kernel, "b")).collect();
        drop(a.kernel);
        for call in own {
            let error = call.await.unwrap_err();
            assert!(matches!(error, CallError::LinkDown | CallError::ShuttingDown), "{error:?}");
        }
        let calls = calling.join_next().await.unwrap().unwrap();
        drop(b.kernel);
        for call in calls {
            let error = call.await.unwrap_err();
            assert!(!matches!(error, CallError::Timeout { .. }), "{error:?}");
        }
        while let Some(executed) = a.held.recv().await {
            let told = tokio::time::timeout(60 * SECOND, executed.cancelled()).await;
            told.expect("who executes a call is told that nobody waits");
        }
    }
}

/// The layers above keep handles of the kernel while they read its events: these must end nonetheless.
#[tokio::test(start_paused = true)]
async fn events_end_with_the_shutdown_while_handles_are_kept() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    let (kept, mut events) = (a.kernel.clone(), a.kernel.events());
    let reading = async {
        let mut told = Vec::new();
        while let Some(event) = events.recv().await.unwrap() {
            told.push(event);
        }
        told
    };
    let (told, stopped) = tokio::join!(reading, a.kernel.shutdown(5 * SECOND));
    assert_eq!(stopped, Stopped::Drained);
    assert!(matches!(told[..], [PeerEvent::Down { reason: DownReason::Disconnected, .. }]), "{told:?}");
    assert_eq!(events.recv().await, Ok(None));
    assert_eq!(kept.events().recv().await, Ok(None), "a stream that begins after the end has ended, too");
    assert_eq!(kept.shutdown(SECOND).await, Stopped::Drained, "a second time there is nothing to do");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_time_ends_the_events_too() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    network.mute("a", "b");
    let mut events = a.kernel.events();
    assert_eq!(a.kernel.shutdown(Duration::ZERO).await, Stopped::Forced);
    while events.recv().await.unwrap().is_some() {}
}

/// What was queued before is sent, what is queued after waits for another session: so the end comes.
#[tokio::test(start_paused = true)]
async fn a_session_that_drains_ends_under_a_steady_caster() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let mut listener = Transport::bind(&network.host("z"), &"z:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address();
    let (dialed, mut slow) =
        tokio::join!(a.kernel.dial(&address, None, SECOND), Shim::accepted(&mut *listener, "z", 77));
    dialed.unwrap();
    let (accepted, before) = (Cell::new(0_u32), Cell::new(0));
    let casting = async {
        loop {
            let mut body = accepted.get().to_be_bytes().to_vec();
            body.resize(1_000, 0);
            if a.kernel.cast(&id("z"), &server("x"), body.into(), SECOND).await.is_err() {
                std::future::pending::<()>().await;
            }
            accepted.set(accepted.get() + 1);
        }
    };
    let ending = async {
        tokio::time::sleep(SECOND).await;
        before.set(accepted.get());
        a.kernel.disconnect(&id("z"), true);
        std::future::pending::<()>().await;
    };
    let reading = async {
        let mut arrived = 0;
        loop {
            let record = slow.next_record().await.expect("GOAWAY comes first");
            let casts = frames(&record).into_iter().filter(|frame| frame.kind == CAST);
            let casts =
                casts.inspect(|frame| assert_eq!(frame.body[..4], arrived_bytes(&mut arrived))).count();
            if frames(&record).iter().any(|frame| frame.kind == GOAWAY) {
                return arrived;
            }
            slow.record(&credit("x", casts as u64, 1_000 * casts as u64)).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut events = a.kernel.events();
    let arrived = tokio::select! {
        () = casting => unreachable!("it casts on"),
        () = ending => unreachable!("it waits"),
        arrived = tokio::time::timeout(20 * SECOND, reading) => arrived.expect("the session ends"),
    };
    assert!(before.get() > 4_000 && arrived >= before.get(), "{arrived} of {}", before.get());
    slow.record(&frame(GOAWAY, 0, 0, None, &[0])).await;
    let dropped = next(&mut events, |event| matches!(event, PeerEvent::Dropped { .. })).await;
    let messages = u64::from(accepted.get() - arrived);
    assert_eq!(
        dropped,
        PeerEvent::Dropped { id: id("z"), messages },
        "what was queued after is told as dropped"
    );
}

/// The number of the next message.
fn arrived_bytes(arrived: &mut u32) -> [u8; 4] {
    *arrived += 1;
    (*arrived - 1).to_be_bytes()
}
