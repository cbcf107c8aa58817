//! A peer that holds the cookie and speaks the protocol by hand, rightly or wrongly as a test wishes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use netkernel::{
    Address, Channel, Incarnation, Listener, MemoryNetwork, Node, NodeId, Noise, Role, Security, Transport,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{TestNode, cookie};

pub(crate) const CAST: u8 = 0x01;
pub(crate) const CALL: u8 = 0x02;
pub(crate) const REPLY: u8 = 0x03;
pub(crate) const CHUNK: u8 = 0x04;
pub(crate) const CANCEL: u8 = 0x05;
pub(crate) const CREDIT: u8 = 0x06;
pub(crate) const PING: u8 = 0x07;
pub(crate) const PONG: u8 = 0x08;
pub(crate) const DEFINE: u8 = 0x09;
pub(crate) const GOAWAY: u8 = 0x0a;
pub(crate) const RESET: u8 = 0x0b;
pub(crate) const MARK: u8 = 0x0c;
pub(crate) const FIRST: u8 = 1;
pub(crate) const WHOLE: u8 = 3;

#[derive(Serialize, Deserialize)]
struct Hello {
    node: Node,
    role: Role,
    instance: u64,
    connection: u64,
    features: u64,
    /// Bytes of a message; bytes and number of unfinished ones.
    receives: (u64, u64, u64),
}

#[derive(Serialize, Deserialize)]
struct Welcome {
    hello: Hello,
    session: u64,
}

/// A session that a test drives byte by byte.
pub(crate) struct Shim {
    pub(crate) channel: Channel,
}

/// A frame of the wire format; `head` is destination, time to live and total bytes.
pub(crate) fn frame(kind: u8, flags: u8, id: u64, head: Option<(u64, u64, u64)>, body: &[u8]) -> Vec<u8> {
    let mut rest = vec![kind, flags];
    put_varint(&mut rest, id);
    if let Some((destination, ttl_ms, total)) = head {
        for number in [destination, 0, ttl_ms, total, 0] {
            put_varint(&mut rest, number);
        }
    }
    rest.extend_from_slice(body);
    let mut frame = Vec::new();
    put_varint(&mut frame, rest.len() as u64);
    frame.extend(rest);
    frame
}

/// A frame of nothing but its kind and number.
pub(crate) fn control(kind: u8, id: u64) -> Vec<u8> {
    frame(kind, 0, id, None, b"")
}

pub(crate) fn define(id: u64, name: &str) -> Vec<u8> {
    frame(DEFINE, 0, id, None, name.as_bytes())
}

/// A MARK after these sessions, of which some broke.
pub(crate) fn mark(before: &[(u64, bool)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (session, lost) in before {
        put_varint(&mut body, *session);
        body.push(u8::from(*lost));
    }
    frame(MARK, 0, 0, None, &body)
}

pub(crate) fn goaway(reason: u8) -> Vec<u8> {
    frame(GOAWAY, 0, 0, None, &[reason])
}

pub(crate) fn cast(to: u64, body: &[u8]) -> Vec<u8> {
    frame(CAST, WHOLE, 0, Some((to, 0, body.len() as u64)), body)
}

pub(crate) fn call(id: u64, to: u64, body: &[u8]) -> Vec<u8> {
    frame(CALL, WHOLE, id, Some((to, 60_000, body.len() as u64)), body)
}

/// The body of a CREDIT frame.
pub(crate) fn credit(server: &str, messages: u64, bytes: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for number in [messages, bytes, 0] {
        put_varint(&mut body, number);
    }
    body.extend_from_slice(server.as_bytes());
    frame(CREDIT, 0, 0, None, &body)
}

/// A frame as it came, without its head.
pub(crate) struct Came<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) id: u64,
    pub(crate) body: &'a [u8],
}

/// The frames of a record.
pub(crate) fn frames(mut record: &[u8]) -> Vec<Came<'_>> {
    let mut frames = Vec::new();
    while !record.is_empty() {
        let bytes = usize::try_from(take_varint(&mut record)).unwrap();
        let (mut body, rest) = record.split_at(bytes);
        record = rest;
        let (kind, flags) = (body[0], body[1]);
        body = &body[2..];
        let id = take_varint(&mut body);
        if flags & FIRST != 0 {
            // Destination, source, time to live, total and an empty extension.
            (0..5).for_each(|_| {
                take_varint(&mut body);
            });
        }
        frames.push(Came { kind, flags, id, body });
    }
    frames
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for place in 0.. {
        let (first, rest) = bytes.split_first().expect("a whole number");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << (7 * place);
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

pub(crate) fn put_varint(buffer: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        buffer.push(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.push(value as u8);
}

impl Shim {
    /// What the node `name` of this incarnation says of itself. Each is that of a later connection.
    pub(crate) fn hello(name: &str, incarnation: u64) -> Vec<u8> {
        Self::hello_of(name, incarnation, 7)
    }

    /// The same, as this instance of it.
    pub(crate) fn hello_of(name: &str, incarnation: u64, instance: u64) -> Vec<u8> {
        static CONNECTIONS: AtomicU64 = AtomicU64::new(0);
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let node = Node {
            id: NodeId::new(name).unwrap(),
            address: Address::new(name, 1).unwrap(),
            incarnation: Incarnation(incarnation),
        };
        let receives = (4 << 20, 8 << 20, 1_024);
        let hello = Hello { node, role: Role::Node, instance, connection, features: 0, receives };
        postcard::to_allocvec(&hello).unwrap()
    }

    /// Makes a session with a node, as the node `name`, up to its READY.
    pub(crate) async fn connect(network: &MemoryNetwork, to: &TestNode, name: &str) -> Self {
        Self::connect_as(network, to, name, Self::hello(name, 1)).await
    }

    /// The same, from a host, as whoever `hello` says.
    pub(crate) async fn connect_as(
        network: &MemoryNetwork,
        to: &TestNode,
        host: &str,
        hello: Vec<u8>,
    ) -> Self {
        let mut shim = Self::unconfirmed(network, to, host, hello).await;
        let answer = shim.finish().await.expect("an answer");
        assert_eq!(answer[0], 0, "READY");
        shim
    }

    /// Confirms a session: the node's answer.
    pub(crate) async fn finish(&mut self) -> Option<Vec<u8>> {
        let finish = postcard::to_allocvec(&(*b"FINISH", Vec::<u64>::new())).unwrap();
        self.record(&finish).await;
        self.next_record().await
    }

    /// A handshake up to the node's answer: it awaits record 0.
    pub(crate) async fn unconfirmed(
        network: &MemoryNetwork,
        to: &TestNode,
        host: &str,
        hello: Vec<u8>,
    ) -> Self {
        Self::welcomed(network, to, host, hello).await.0
    }

    /// The same, with the id of the session.
    pub(crate) async fn welcomed(
        network: &MemoryNetwork,
        to: &TestNode,
        host: &str,
        hello: Vec<u8>,
    ) -> (Self, u64) {
        let connection = network.host(host).connect(&to.address()).await.unwrap();
        let (channel, welcome) = Noise::new(&cookie(false)).client(connection, hello).await.unwrap();
        let welcome: Welcome = postcard::from_bytes(&welcome).unwrap();
        (Self { channel }, welcome.session)
    }

    /// The accepting end of a handshake, up to READY, with whoever connects.
    pub(crate) async fn accepted(listener: &mut dyn Listener, name: &str, session: u64) -> Self {
        let connection = listener.accept().await.unwrap();
        let mut welcome = Self::hello(name, 1);
        put_varint(&mut welcome, session);
        let noise = Noise::new(&cookie(false));
        let (channel, _hello) = noise.server(connection, welcome, &|| {}).await.unwrap();
        let mut shim = Self { channel };
        if shim.next_record().await.is_some() {
            shim.record(&[0, 0]).await;
        }
        shim
    }

    /// Seals a record, without sending it.
    pub(crate) fn sealed(&mut self, plain: &[u8]) -> Vec<u8> {
        let bytes = plain.len() + self.channel.seal.overhead_bytes();
        let header = u16::try_from(bytes).unwrap().to_be_bytes();
        let mut record = header.to_vec();
        record.extend_from_slice(plain);
        self.channel.seal.seal(header, &mut record, 2).unwrap();
        record
    }

    /// Sends bytes as they are; false if the node has hung up.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> bool {
        self.channel.write.write_all(bytes).await.is_ok()
    }

    /// Sends frames as one record; false if the node has hung up.
    pub(crate) async fn record(&mut self, frames: &[u8]) -> bool {
        let record = self.sealed(frames);
        self.raw(&record).await
    }

    /// The plaintext of the node's next record; `None` once it has hung up.
    pub(crate) async fn next_record(&mut self) -> Option<Vec<u8>> {
        let record = self.next_sealed().await?;
        let (header, mut record) = ([record[0], record[1]], record[2..].to_vec());
        let bytes = self.channel.open.open(header, &mut record).ok()?;
        record.truncate(bytes);
        Some(record)
    }

    /// The node's next record as it came.
    pub(crate) async fn next_sealed(&mut self) -> Option<Vec<u8>> {
        let mut record = vec![0; 2];
        self.channel.read.read_exact(&mut record).await.ok()?;
        let bytes = usize::from(u16::from_be_bytes([record[0], record[1]]));
        record.resize(2 + bytes, 0);
        self.channel.read.read_exact(&mut record[2..]).await.ok()?;
        Some(record)
    }

    /// Waits until the node hangs up.
    pub(crate) async fn hung_up(&mut self) {
        let read = async {
            let mut sink = Vec::new();
            // An error is a hang-up, too.
            let _end = self.channel.read.read_to_end(&mut sink).await;
        };
        tokio::time::timeout(Duration::from_secs(120), read).await.expect("the node hangs up");
    }
}
