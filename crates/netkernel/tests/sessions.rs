//! One session per pair: made, kept, replaced and ended.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, cookie, id, next, node, server, settle, start};
use netkernel::{
    Address, BindError, CallError, ConnectError, DownReason, Executed, HandshakeError, Kernel, MemoryNetwork,
    Net, Noise, PeerEvent, Stage, Stopped,
};

#[tokio::test(start_paused = true)]
async fn two_nodes_that_dial_each_other_keep_one_session() {
    for round in 0..20 {
        let network = MemoryNetwork::new();
        let (a, b) = (node(&network, "a").await, node(&network, "b").await);
        a.connect(&b);
        b.connect(&a);
        assert_eq!(&a.echo(&b, "hello").await.unwrap()[..], b"hello");
        assert_eq!(&b.echo(&a, "hello").await.unwrap()[..], b"hello");
        settle().await;
        assert_eq!((a.sessions(&b), b.sessions(&a)), (1, 1), "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_keep_their_order_and_none_is_lost_while_sessions_are_replaced() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let count = 20_000u32;
    let casting = async {
        for number in 0..count {
            let body = Bytes::copy_from_slice(&number.to_be_bytes());
            a.kernel.cast(&b.id(), &server("sink"), body, SECOND).await.unwrap();
            if number % 997 == 0 {
                // Further sessions, dialed by either end, supersede the present one in mid-stream.
                let (from, to) = if number % 2 == 0 { (&a, &b) } else { (&b, &a) };
                from.kernel.dial(&to.address(), None, SECOND).await.unwrap();
            }
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    casting.await;
    for number in 0..count {
        let (_, body) = b.casts.recv().await.unwrap();
        assert_eq!(body[..], number.to_be_bytes());
    }
    settle().await;
    assert_eq!(a.sessions(&b), 1);
    let dropped = a.kernel.peers()[0].traffic.messages_dropped;
    assert_eq!(dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn large_and_small_messages_to_one_server_arrive_in_order() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let sizes = [10, 1 << 20, 3, 100_000, 16 * 1_024, 16 * 1_024 + 1, 0, 4 << 20, 1];
    for bytes in sizes {
        a.kernel.cast(&b.id(), &server("sink"), vec![7; bytes].into(), SECOND).await.unwrap();
    }
    for bytes in sizes {
        assert_eq!(b.casts.recv().await.unwrap().1.len(), bytes);
    }
    let echoed = a.kernel.call(&b.id(), &server("echo"), vec![9; 2 << 20].into(), SECOND).await.unwrap();
    assert_eq!(echoed.len(), 2 << 20);
    let too_large = a.kernel.call(&b.id(), &server("echo"), vec![9; (4 << 20) + 1].into(), SECOND).await;
    assert_eq!(too_large.unwrap_err(), CallError::TooLarge { bytes: (4 << 20) + 1, max: 4 << 20 });
}

#[tokio::test(start_paused = true)]
async fn a_wrong_cookie_gets_nothing_and_disturbs_nobody() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "before").await.unwrap();
    let mut events = b.kernel.events();

    let thief = netkernel::Config::builder(id("a"), Noise::new(&cookie(true)))
        .transport(network.host("thief"))
        .listen("thief:0".parse().unwrap());
    let thief = start(thief).await;
    let dialed = thief.kernel.dial(&b.address(), None, SECOND).await;
    assert!(
        matches!(dialed, Err(ConnectError::Handshake { source: HandshakeError::Authentication, .. })),
        "{dialed:?}"
    );
    assert!(thief.kernel.peers().is_empty());

    a.echo(&b, "after").await.unwrap();
    assert_eq!(b.sessions(&a), 1);
    let quiet = tokio::time::timeout(SECOND, events.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_ends_calls_under_way_at_once_and_is_made_again() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let mut events = a.kernel.events();
    let held = a.kernel.call(&b.id(), &server("hold"), Bytes::new(), 60 * SECOND);
    let responder = b.held.recv().await.unwrap();
    network.reset("a", "b");
    let error = held.await.unwrap_err();
    assert_eq!(error, CallError::LinkDown);
    assert_eq!(error.executed(), Executed::Maybe);
    responder.cancelled().await;
    responder.reply(Bytes::from_static(b"late"));

    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(matches!(down, PeerEvent::Down { reason: DownReason::LinkLost, .. }));
    next(&mut events, |event| matches!(event, PeerEvent::Up { .. })).await;
    assert_eq!(&a.echo(&b, "again").await.unwrap()[..], b"again");
}

#[tokio::test(start_paused = true)]
async fn messages_wait_for_a_node_that_is_away_within_limits() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    let (b_id, b_address) = (b.id(), b.address());
    drop(b);
    settle().await;
    a.kernel.connect(&b_id, &b_address);
    let cast = |number: u32| {
        a.kernel.try_cast(&b_id, &server("sink"), Bytes::copy_from_slice(&number.to_be_bytes()))
    };
    let accepted = (0..2_000).filter(|&number| cast(number).is_ok()).count();
    assert_eq!(accepted, 1_024);

    let b = config(&network, "b", 2).listen(b_address);
    let mut b = start(b).await;
    for number in 0..1_024u32 {
        assert_eq!(b.casts.recv().await.unwrap().1[..], number.to_be_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_is_dropped_and_counted() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    a.kernel.connect(&id("b"), &"b:1".parse().unwrap());
    for _ in 0..10 {
        a.kernel.try_cast(&id("b"), &server("sink"), Bytes::new()).unwrap();
    }
    let waiting = a.kernel.call(&id("b"), &server("echo"), Bytes::new(), 10 * SECOND).await;
    assert_eq!(waiting.unwrap_err(), CallError::Timeout { stage: Stage::Queued });
    tokio::time::sleep(40 * SECOND).await;
    let status = &a.kernel.peers()[0];
    assert_eq!(status.queued_messages, 0);
    assert_eq!(status.traffic.messages_dropped, 11);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_which_nothing_was_written_waits_for_the_next_session() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "before").await.unwrap();
    network.cut("a", "b");
    settle().await;
    assert!(!a.sees(&b));
    let waiting = a.kernel.call(&b.id(), &server("echo"), Bytes::from("waits"), 20 * SECOND);
    let too_short = a.kernel.call(&b.id(), &server("echo"), Bytes::from("gives up"), SECOND);
    let error = too_short.await.unwrap_err();
    assert_eq!(
        (error.clone(), error.executed()),
        (CallError::Timeout { stage: Stage::Queued }, Executed::No)
    );
    tokio::time::sleep(3 * SECOND).await;
    network.heal("a", "b");
    assert_eq!(waiting.await.unwrap(), "waits");
}

#[tokio::test(start_paused = true)]
async fn dialing_a_node_that_does_not_serve_yet_waits_until_it_does() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let bound = Kernel::bind(config(&network, "b", 1).build().unwrap()).await.unwrap();
    let address = bound.local().address;
    let too_early = a.kernel.dial(&address, None, SECOND).await;
    assert!(matches!(too_early, Err(ConnectError::Timeout { .. })), "{too_early:?}");
    let serving = async {
        tokio::time::sleep(SECOND).await;
        bound.serve(std::sync::Arc::new(netkernel::testing::Recorder::default()));
    };
    let (dialed, ()) = tokio::join!(a.kernel.dial(&address, None, 5 * SECOND), serving);
    assert_eq!(dialed.unwrap().id, id("b"));
}

#[tokio::test(start_paused = true)]
async fn dialing_says_who_answers() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    assert_eq!(a.kernel.dial(&b.address(), None, SECOND).await.unwrap(), b.kernel.local());
    let myself = a.kernel.dial(&a.address(), None, SECOND).await;
    assert!(matches!(myself, Err(ConnectError::Myself { .. })), "{myself:?}");
    let wrong = a.kernel.dial(&b.address(), Some(&id("c")), SECOND).await;
    assert!(matches!(wrong, Err(ConnectError::WrongNode { .. })), "{wrong:?}");
    let nobody = a.kernel.dial(&"c:9".parse().unwrap(), None, SECOND).await;
    assert!(matches!(nobody, Err(ConnectError::Unreachable { .. })), "{nobody:?}");
}

#[tokio::test(start_paused = true)]
async fn a_partitioned_pair_finds_together_again() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    b.connect(&a);
    a.echo(&b, "hello").await.unwrap();
    network.cut("a", "b");
    settle().await;
    assert!(!a.sees(&b) && !b.sees(&a));
    tokio::time::sleep(60 * SECOND).await;
    network.heal("a", "b");
    a.echo(&b, "again").await.unwrap();
    b.echo(&a, "again").await.unwrap();
    settle().await;
    assert_eq!((a.sessions(&b), b.sessions(&a)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_noticed() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let frozen = network.host("frozen");
    let mut listener = netkernel::Transport::bind(&frozen, &"frozen:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address();
    let dialing = a.kernel.dial(&address, None, 60 * SECOND);
    let (dialed, _connection) = tokio::join!(dialing, listener.accept());
    assert!(
        matches!(dialed, Err(ConnectError::Handshake { source: HandshakeError::Timeout, .. })),
        "{dialed:?}"
    );
}

#[tokio::test]
async fn ports_in_use_and_addresses_everywhere_are_clear_errors() {
    let bind = |address: String| {
        let security = Noise::new(&cookie(false));
        Kernel::bind(
            netkernel::Config::builder(id("a"), security).listen(address.parse().unwrap()).build().unwrap(),
        )
    };
    let first = bind("127.0.0.1:0".to_owned()).await.unwrap();
    let address = first.local().address;
    let second = bind(address.to_string()).await.unwrap_err();
    assert!(matches!(&second, BindError::Listen { .. }), "{second:?}");
    assert_eq!(second.to_string(), format!("cannot listen at {address}"));
    assert!(matches!(bind("0.0.0.0:0".to_owned()).await, Err(BindError::Advertise { .. })));
    let [four, six] = ["0.0.0.0", "[::]"].map(|host| format!("{host}:{}", address.port()));
    for nowhere in [four.as_str(), &six, "node.example:0"] {
        let config = netkernel::Config::builder(id("a"), Noise::new(&cookie(false)));
        let config = config.listen("127.0.0.1:0".parse().unwrap()).advertise(nowhere.parse().unwrap());
        let bound = Kernel::bind(config.build().unwrap()).await;
        assert!(matches!(bound, Err(BindError::Undialable { .. })), "{nowhere}");
    }
    assert!(matches!(
        bind("[::]:0".to_owned()).await,
        Err(BindError::Advertise { .. } | BindError::Listen { .. })
    ));
}

#[tokio::test]
async fn nodes_talk_over_tcp() {
    let local: Address = "127.0.0.1:0".parse().unwrap();
    let tcp =
        |name: &str| netkernel::Config::builder(id(name), Noise::new(&cookie(false))).listen(local.clone());
    let (a, mut b) = (start(tcp("a")).await, start(tcp("b")).await);
    a.connect(&b);
    b.connect(&a);
    assert_eq!(&a.echo(&b, "hello").await.unwrap()[..], b"hello");
    let big = vec![5; 3 << 20];
    a.kernel.cast(&b.id(), &server("sink"), big.clone().into(), SECOND).await.unwrap();
    assert_eq!(b.casts.recv().await.unwrap(), (id("a"), Bytes::from(big)));
    let round_trip = a.kernel.ping(&b.id(), SECOND).await.unwrap();
    assert!(round_trip > Duration::ZERO);
    assert_eq!(a.kernel.shutdown(5 * SECOND).await, Stopped::Drained);
    assert_eq!(b.kernel.shutdown(5 * SECOND).await, Stopped::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_is_down_and_its_calls_end() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    let held = a.kernel.call(&b.id(), &server("hold"), Bytes::new(), 60 * SECOND);
    let _responder = b.held.recv().await.unwrap();
    let mut events = a.kernel.events();
    network.mute("a", "b");
    assert_eq!(held.await.unwrap_err(), CallError::LinkDown);
    let down = next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(matches!(down, PeerEvent::Down { reason: DownReason::Silent, .. }), "{down:?}");
    network.heal("a", "b");
    a.echo(&b, "again").await.unwrap();
}

/// The other end of a half-open connection still believes in it: the new one must not wait for that.
#[tokio::test(start_paused = true)]
async fn a_connection_that_only_one_end_knows_to_be_dead_does_not_hold_up_the_next() {
    let network = MemoryNetwork::new();
    let (mut a, b) = (node(&network, "a").await, node(&network, "b").await);
    b.connect(&a);
    b.echo(&a, "by the session that b dialed").await.unwrap();
    let held = b.kernel.call(&a.id(), &server("hold"), Bytes::new(), 60 * SECOND);
    let responder = a.held.recv().await.unwrap();
    network.mute("a", "b");
    let mut events = b.kernel.events();
    let call = b.kernel.call(&a.id(), &server("hold"), Bytes::new(), 60 * SECOND);
    next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
    assert!(a.sees(&b), "the other end has not noticed yet");
    network.heal("a", "b");
    let begun = tokio::time::Instant::now();
    b.echo(&a, "by the next").await.unwrap();
    assert!(begun.elapsed() < 10 * SECOND, "{:?}", begun.elapsed());
    assert!(call.await.is_err() && held.await.is_err());
    settle().await;
    assert_eq!((a.sessions(&b), b.sessions(&a)), (1, 1));
    assert!(responder.is_cancelled(), "the caller learnt that its link is lost, and so must the callee");
}

/// The rule would keep the dead session, which the lower id dialed, and end the one that the higher id dials: only that
/// the end which has noticed says so lets it stay. The higher id notices, or the lower, and either way the higher dials.
#[tokio::test(start_paused = true)]
async fn a_session_that_one_end_has_given_up_does_not_outrank_the_next() {
    for noticed_by_dialer in [true, false] {
        let network = MemoryNetwork::new();
        let (low, high) = (node(&network, "a").await, node(&network, "b").await);
        low.kernel.dial(&high.address(), None, SECOND).await.unwrap();
        let (notices, other) = if noticed_by_dialer { (&high, &low) } else { (&low, &high) };
        network.mute("a", "b");
        let mut events = notices.kernel.events();
        let call = notices.kernel.call(&other.id(), &server("hold"), Bytes::new(), 60 * SECOND);
        next(&mut events, |event| matches!(event, PeerEvent::Down { .. })).await;
        assert!(call.await.is_err() && other.sees(notices), "the other end has not noticed yet");
        network.heal("a", "b");
        high.kernel.dial(&low.address(), None, SECOND).await.unwrap();
        let begun = tokio::time::Instant::now();
        for (from, to) in [(&high, &low), (&low, &high)] {
            from.echo(to, "by the next").await.unwrap();
        }
        assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
        settle().await;
        assert_eq!((low.sessions(&high), high.sessions(&low)), (1, 1));
    }
}

/// What is left of a message when its link closes in mid-message is counted as dropped, and the next goes through.
#[tokio::test(start_paused = true)]
async fn a_message_cut_short_by_a_close_is_counted() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    a.kernel.try_cast(&b.id(), &server("sink"), vec![1; 4 << 20].into()).unwrap();
    b.kernel.set_incarnation(netkernel::Incarnation(2));
    tokio::time::sleep(20 * SECOND).await;
    let dropped = a.kernel.peers()[0].traffic.messages_dropped;
    let arrived = b.casts.try_recv().is_ok();
    assert_eq!(dropped, u64::from(!arrived));
    a.echo(&b, "by the next session").await.unwrap();
}

/// A stranger that connects and resets at once must not slow the next client.
#[tokio::test]
async fn clients_that_reset_at_once_do_not_close_the_door() {
    let tcp = |name: &str| {
        netkernel::Config::builder(id(name), Noise::new(&cookie(false)))
            .listen("127.0.0.1:0".parse().unwrap())
    };
    let (a, b) = (start(tcp("a")).await, start(tcp("b")).await);
    let address = b.address();
    for _ in 0..200 {
        let stranger = tokio::net::TcpStream::connect((address.host(), address.port())).await.unwrap();
        stranger.set_zero_linger().unwrap();
        drop(stranger);
    }
    a.kernel.dial(&address, None, 3 * SECOND).await.unwrap();
    assert_eq!(b.kernel.shutdown(5 * SECOND).await, Stopped::Drained);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_lives_on() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "hello").await.unwrap();
    tokio::time::sleep(600 * SECOND).await;
    assert_eq!((a.kernel.peers()[0].traffic.sessions, b.kernel.peers()[0].traffic.sessions), (1, 1));
}
