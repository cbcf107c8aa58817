//! Peers that mean harm: strangers with garbage, slow clients, changed bytes, replayed connections.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{SECOND, TestNode, config, cookie, id, node, settle, start};
use netkernel::{
    Address, BoxFuture, ConnectError, Connection, HandshakeError, Listener, MemoryHost, MemoryNetwork, Net,
    Noise, RefusedReason, SendError, Transport,
};
use shim::Shim;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn stranger(network: &MemoryNetwork, to: &TestNode) -> Connection {
    network.host("stranger").connect(&to.address()).await.unwrap()
}

/// What the node answers before it hangs up.
async fn answer(connection: &mut Connection) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = connection.read.read_to_end(&mut answer);
    let _reset = tokio::time::timeout(60 * SECOND, read).await.expect("the node hangs up");
    answer
}

#[tokio::test(start_paused = true)]
async fn garbage_is_answered_by_silence_and_disturbs_nobody() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    // Those who speak the protocol are told which one is spoken here, others nothing.
    let refusal: &[u8] = b"CLK1\x01\x01\x00\x00";
    let hellos: [(&[u8], &[u8]); 7] = [
        (b"", b""),
        (b"GET / HTTP/1.1\r\n\r\n", b""),
        (b"CLK1", b""),
        (b"CLK1\x01\x01\xff\xff", b""),
        (b"CLK1\x01\x01\x00\x00", refusal),
        (b"CLK1\x02\x01\x00\x10aaaaaaaaaaaaaaaa", refusal),
        (b"CLK1\x01\x00\x00\x10aaaaaaaaaaaaaaaa", refusal),
    ];
    for (hello, answered) in hellos {
        let mut connection = stranger(&network, &b).await;
        connection.write.write_all(hello).await.unwrap();
        assert_eq!(answer(&mut connection).await, answered, "{hello:?}");
    }
    a.echo(&b, "undisturbed").await.unwrap();
    assert_eq!(b.kernel.peers().len(), 1);
}

/// From as many hosts as it takes for no limit of one of them to matter.
#[tokio::test(start_paused = true)]
async fn a_thousand_slow_clients_do_not_keep_a_good_peer_out() {
    for hosts in [1, 1_000] {
        let network = MemoryNetwork::new();
        let (a, b) = (node(&network, "a").await, node(&network, "b").await);
        let mut slow = Vec::new();
        for number in 0..1_000 {
            let host = network.host(format!("slow-{}", number % hosts));
            slow.push(host.connect(&b.address()).await.unwrap());
        }
        let begun = tokio::time::Instant::now();
        a.kernel.dial(&b.address(), None, SECOND).await.unwrap();
        assert!(begun.elapsed() < SECOND);
        tokio::time::sleep(SECOND).await;
        for connection in &mut slow {
            assert_eq!(answer(connection).await, b"");
        }
        let crowded = b.kernel.refused().into_iter().find(|(reason, _)| *reason == RefusedReason::Crowded);
        // One of them made room for the good peer.
        let places = if hosts == 1 { 32 } else { 127 };
        assert_eq!(crowded, Some((RefusedReason::Crowded, 1_000 - places)));
    }
}

/// Who has recorded many nodes' first messages fills every place with them, each of which opens.
#[tokio::test(start_paused = true)]
async fn recorded_first_messages_do_not_keep_a_good_peer_out() {
    let network = MemoryNetwork::new();
    let (a, b) = (node(&network, "a").await, node(&network, "b").await);
    let mut replayed = Vec::new();
    for number in 0..200 {
        let name = format!("node-{number}");
        // From here on they do what one can who has no more than the message: nothing.
        replayed.push(Shim::unconfirmed(&network, &b, &name, Shim::hello(&name, 1)).await);
    }
    let begun = tokio::time::Instant::now();
    a.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    assert!(begun.elapsed() < SECOND / 10, "{:?}", begun.elapsed());
    assert_eq!(b.kernel.peers().len(), 1);
    drop(replayed);
}

/// A first message opens, whoever sends it. Until record 0 does, too, no peer is known by it.
#[tokio::test(start_paused = true)]
async fn a_first_message_alone_makes_no_peer_known() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut begun = Shim::unconfirmed(&network, &b, "a", Shim::hello("a", 1)).await;
    settle().await;
    assert!(b.kernel.peers().is_empty());
    let cast = || b.kernel.try_cast(&id("a"), &common::server("sink"), "lost".into());
    assert!(matches!(cast(), Err(SendError::NotConnected { .. })));
    assert_eq!(begun.finish().await.unwrap()[0], 0, "READY");
    settle().await;
    assert_eq!(b.kernel.peers().len(), 1);
    cast().unwrap();
}

/// A transport that changes one byte of what its node sends, or keeps a copy of it all.
#[derive(Debug, Clone)]
struct Tampering {
    inner: MemoryHost,
    flip: Option<usize>,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Transport for Tampering {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, std::io::Result<Box<dyn Listener>>> {
        self.inner.bind(address)
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, std::io::Result<Connection>> {
        Box::pin(async move {
            let connection = self.inner.connect(address).await?;
            let (near, mut far) = tokio::io::duplex(1 << 20);
            let (mut write, flip, sent) = (connection.write, self.flip, Arc::clone(&self.sent));
            let relay = async move {
                let mut byte = [0];
                let mut index = 0;
                while let Ok(1) = far.read(&mut byte).await {
                    if flip == Some(index) {
                        byte[0] ^= 1;
                    }
                    index += 1;
                    sent.lock().unwrap().push(byte[0]);
                    if write.write_all(&byte).await.is_err() {
                        return;
                    }
                }
            };
            RELAYS.with(|relays| relays.spawn(relay));
            Ok(Connection::new(connection.read, near, connection.remote))
        })
    }
}

std::thread_local! {
    static RELAYS: tokio_util::task::TaskTracker = tokio_util::task::TaskTracker::new();
}

async fn tampered(network: &MemoryNetwork, flip: Option<usize>) -> (TestNode, Arc<Mutex<Vec<u8>>>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let transport = Tampering { inner: network.host("victim"), flip, sent: Arc::clone(&sent) };
    let config = netkernel::Config::builder(id("victim"), Noise::new(&cookie(false))).transport(transport);
    (start(config).await, sent)
}

#[tokio::test(start_paused = true)]
async fn every_changed_byte_of_the_handshake_makes_it_fail() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let (honest, sent) = tampered(&network, None).await;
    honest.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    let handshake_bytes = sent.lock().unwrap().len();
    drop(honest);
    settle().await;
    assert!(handshake_bytes > 100);
    for index in 0..handshake_bytes {
        let (victim, _) = tampered(&network, Some(index)).await;
        let dialed = victim.kernel.dial(&b.address(), None, 10 * SECOND).await;
        // The last record is the session's first: there the handshake stands, but the session carries nothing.
        if dialed.is_ok() {
            let body = vec![0; 2_000].into();
            let called = victim.kernel.call(&b.id(), &common::server("echo"), body, SECOND).await;
            assert!(called.is_err(), "byte {index} was changed and nobody noticed");
        }
        drop(victim);
        settle().await;
        assert!(b.kernel.peers().is_empty(), "byte {index} left something behind");
    }
}

/// Fault 22 of the original: a recorded message was accepted again.
#[tokio::test(start_paused = true)]
async fn fault_22_a_recorded_connection_played_again_is_worth_nothing() {
    let network = MemoryNetwork::new();
    let mut b = node(&network, "b").await;
    let (victim, sent) = tampered(&network, None).await;
    victim.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    victim.kernel.try_cast(&b.id(), &common::server("sink"), "once".into()).unwrap();
    assert_eq!(b.casts.recv().await.unwrap().1, "once");
    let recording = sent.lock().unwrap().clone();

    let mut replay = stranger(&network, &b).await;
    replay.write.write_all(&recording).await.unwrap();
    let answered = answer(&mut replay).await;
    settle().await;
    assert!(b.casts.try_recv().is_err());
    assert_eq!(b.sessions(&victim), 1);
    // The node could not know the first message for a replay, and answered it; nothing came of it.
    assert!(answered.len() < 1_024);
    victim.echo(&b, "undisturbed").await.unwrap();
}

/// The very first message of a node that has a session, played again while it has: no state changes.
#[tokio::test(start_paused = true)]
async fn a_first_message_of_a_connected_node_played_again_leaves_its_session_undisturbed() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let (victim, sent) = tampered(&network, None).await;
    victim.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    victim.echo(&b, "before").await.unwrap();
    let mut events = b.kernel.events();
    let recording = sent.lock().unwrap().clone();
    let first = 8 + usize::from(u16::from_be_bytes([recording[6], recording[7]]));
    for _ in 0..5 {
        let mut replay = stranger(&network, &b).await;
        replay.write.write_all(&recording[..first]).await.unwrap();
        let answered = answer(&mut replay).await;
        assert!(answered.len() > 8, "a first message cannot be known for a replay, and is answered");
        // What its sender would have to send next needs the secret that it was made with.
    }
    assert_eq!((b.kernel.peers().len(), b.sessions(&victim)), (1, 1));
    assert!(futures_none(events.recv()).await, "the layers above were told of something");
    victim.echo(&b, "undisturbed").await.unwrap();
}

/// The same of a node that is gone: its message takes a place, once in a while, and nothing else.
#[tokio::test(start_paused = true)]
async fn a_first_message_played_again_leads_nowhere() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let (victim, sent) = tampered(&network, None).await;
    victim.kernel.dial(&b.address(), None, SECOND).await.unwrap();
    let recording = sent.lock().unwrap().clone();
    let first = 8 + usize::from(u16::from_be_bytes([recording[6], recording[7]]));
    victim.kernel.shutdown(SECOND).await;
    settle().await;
    assert!(b.kernel.peers().is_empty());
    let replay = async || {
        let begun = tokio::time::Instant::now();
        let mut replay = stranger(&network, &b).await;
        replay.write.write_all(&recording[..first]).await.unwrap();
        settle().await;
        assert!(b.kernel.peers().is_empty(), "a peer is known by a message that was played again");
        assert!(answer(&mut replay).await.len() > 8, "a first message cannot be known for a replay at once");
        begun.elapsed()
    };
    for _ in 0..5 {
        assert!(replay().await < SECOND / 10, "it held a place");
    }
    assert_eq!(b.kernel.refused(), [(RefusedReason::Replayed, 5)]);
    tokio::time::sleep(4 * SECOND).await;
    assert!(replay().await <= 3 * SECOND);
    assert_eq!(b.kernel.refused(), [(RefusedReason::Timeout, 1), (RefusedReason::Replayed, 5)]);
}

/// Whether a future has nothing to say now.
async fn futures_none<T>(future: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_millis(1), future).await.is_err()
}

/// Someone in between who makes each end believe that the other speaks another version, or without security.
#[tokio::test(start_paused = true)]
async fn a_downgrade_of_version_or_mode_is_refused_at_both_ends() {
    for (index, to) in [(4, 0u8), (4, 2), (4, 0xff), (5, 0), (5, 2)] {
        let network = MemoryNetwork::new();
        let (a, b) = (node(&network, "a").await, node(&network, "b").await);
        let relay = network.host("relay");
        let mut listener = relay.bind(&"relay:0".parse().unwrap()).await.unwrap();
        let (address, target) = (listener.local_address(), b.address());
        let relaying = async {
            let mut from = listener.accept().await.unwrap();
            let mut to_b = relay.connect(&target).await.unwrap();
            let (mut there, mut back) = ([0; 8], [0; 8]);
            from.read.read_exact(&mut there).await.unwrap();
            there[index] = to;
            to_b.write.write_all(&there).await.unwrap();
            let rest = tokio::io::copy(&mut from.read, &mut to_b.write);
            let answer = async {
                to_b.read.read_exact(&mut back).await.unwrap();
                // The refusal says what is spoken there; whoever wants a downgrade says otherwise.
                back[index] = to;
                let _gone = from.write.write_all(&back).await;
                let _gone = from.write.shutdown().await;
            };
            let _over = tokio::time::timeout(SECOND, async { tokio::join!(rest, answer) }).await;
        };
        let (dialed, ()) = tokio::join!(a.kernel.dial(&address, None, SECOND), relaying);
        let Err(ConnectError::Handshake { source, .. }) = dialed else { panic!("{dialed:?}") };
        match source {
            HandshakeError::Version { version, ours: 1 } => assert_eq!((index, version), (4, to)),
            HandshakeError::Mode { theirs, ours: 1 } => assert_eq!((index, theirs), (5, to)),
            other => panic!("{other:?}"),
        }
        settle().await;
        assert!(a.kernel.peers().is_empty() && b.kernel.peers().is_empty());
        assert_eq!(b.kernel.refused(), [(RefusedReason::Version, 1)]);
    }
}

/// Releases that speak another version, whatever they send after the bytes that say so, are told apart from those
/// with another cookie, from either end.
#[tokio::test(start_paused = true)]
async fn another_release_reads_as_a_version_mismatch() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    for (version, length) in [(0u8, 0u16), (2, 0), (2, 60), (2, 2_000), (9, u16::MAX)] {
        // Another release dials, with a message of its own making.
        let mut other = stranger(&network, &b).await;
        let [high, low] = length.to_be_bytes();
        let hello = [&[b'C', b'L', b'K', b'1', version, 1, high, low][..], &vec![7; length.into()]].concat();
        other.write.write_all(&hello).await.unwrap();
        assert_eq!(answer(&mut other).await, b"CLK1\x01\x01\x00\x00", "version {version}");
        // And another release is dialed, and answers in its own way.
        let host = network.host("other");
        let mut listener = host.bind(&"other:0".parse().unwrap()).await.unwrap();
        let address = listener.local_address();
        let serving = async {
            let mut connection = listener.accept().await.unwrap();
            connection.write.write_all(&hello).await.unwrap();
            let _closed = connection.write.shutdown().await;
            connection
        };
        let (dialed, _connection) = tokio::join!(b.kernel.dial(&address, None, SECOND), serving);
        let error = dialed.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Handshake { source: HandshakeError::Version { version: found, ours: 1 }, .. } if *found == version),
            "{error:?}"
        );
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("version mismatch"), "{cause}");
    }
    assert_eq!(b.kernel.refused(), [(RefusedReason::Version, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_in_the_way_of_the_listener_is_a_clear_error() {
    let network = MemoryNetwork::new();
    let a = node(&network, "a").await;
    let host = network.host("web");
    let mut listener = host.bind(&"web:0".parse().unwrap()).await.unwrap();
    let address = listener.local_address();
    let serving = async {
        let mut connection = listener.accept().await.unwrap();
        connection.write.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        connection
    };
    let (dialed, _connection) = tokio::join!(a.kernel.dial(&address, None, SECOND), serving);
    assert!(matches!(dialed, Err(ConnectError::Handshake { .. })), "{dialed:?}");
}

#[tokio::test(start_paused = true)]
async fn no_secret_shows_in_what_a_node_prints() {
    let network = MemoryNetwork::new();
    let config = config(&network, "a", 1);
    let shown = format!("{config:?} {:?} {:?}", cookie(false), Noise::new(&cookie(false)));
    assert!(!shown.contains("0000000000"), "{shown}");
    let a = start(config).await;
    assert!(!format!("{:?}", a.kernel).contains("0000000000"));
    tokio::time::sleep(Duration::from_millis(1)).await;
}
