//! The protocol of `docs/wire-v1.md`, with a Noise library, an AEAD and a hash, and nothing of this crate.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use snow::{Builder, HandshakeState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) mod kinds {
    pub(crate) const CAST: u8 = 0x01;
    pub(crate) const CALL: u8 = 0x02;
    pub(crate) const REPLY: u8 = 0x03;
    pub(crate) const CHUNK: u8 = 0x04;
    pub(crate) const CREDIT: u8 = 0x06;
    pub(crate) const PING: u8 = 0x07;
    pub(crate) const PONG: u8 = 0x08;
    pub(crate) const DEFINE: u8 = 0x09;
    pub(crate) const GOAWAY: u8 = 0x0a;
    pub(crate) const MARK: u8 = 0x0c;
}

pub(crate) const TO_ACCEPTOR: &str = "clusterluck netkernel v1 dialer to acceptor";
pub(crate) const TO_DIALER: &str = "clusterluck netkernel v1 acceptor to dialer";
const REKEY: &str = "clusterluck netkernel v1 rekey";
const PSK: &str = "clusterluck netkernel v1 psk";
const RECORDS_PER_KEY: u64 = 1 << 20;

pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let seven = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return bytes.push(seven);
        }
        bytes.push(seven | 0x80);
    }
}

pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << (7 * place);
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_varint(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}

fn take_text(bytes: &mut &[u8]) -> String {
    let length = usize::try_from(take_varint(bytes).unwrap()).unwrap();
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    String::from_utf8(text.to_vec()).unwrap()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) incarnation: u64,
    pub(crate) role: u8,
    pub(crate) instance: u64,
    pub(crate) connection: u64,
    /// Bytes of a message; bytes and number of unfinished ones.
    pub(crate) receives: [u64; 3],
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_text(&mut bytes, &self.id);
        put_text(&mut bytes, &self.host);
        for number in
            [self.port.into(), self.incarnation, self.role.into(), self.instance, self.connection, 0]
        {
            put_varint(&mut bytes, number);
        }
        self.receives.into_iter().for_each(|number| put_varint(&mut bytes, number));
        bytes
    }

    /// The hello, and what follows it.
    pub(crate) fn decode(mut bytes: &[u8]) -> (Self, &[u8]) {
        let (id, host) = (take_text(&mut bytes), take_text(&mut bytes));
        let mut number = || take_varint(&mut bytes).unwrap();
        let mut hello = Self {
            id,
            host,
            port: u16::try_from(number()).unwrap(),
            incarnation: number(),
            role: u8::try_from(number()).unwrap(),
            instance: number(),
            connection: number(),
            receives: [0; 3],
        };
        assert_eq!(number(), 0, "features");
        hello.receives = [number(), number(), number()];
        (hello, bytes)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) id: u64,
    /// Destination, milliseconds left, total bytes.
    pub(crate) head: Option<(u64, u64, u64)>,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    pub(crate) fn control(kind: u8, id: u64, body: &[u8]) -> Self {
        Self { kind, flags: 0, id, head: None, body: body.to_vec() }
    }

    pub(crate) fn first(kind: u8, flags: u8, id: u64, head: (u64, u64, u64), body: &[u8]) -> Self {
        Self { kind, flags, id, head: Some(head), body: body.to_vec() }
    }

    pub(crate) fn chunk(flags: u8, id: u64, body: &[u8]) -> Self {
        Self { kind: kinds::CHUNK, flags, id, head: None, body: body.to_vec() }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut rest = vec![self.kind, self.flags];
        put_varint(&mut rest, self.id);
        if let Some((destination, ttl, total)) = self.head {
            for number in [destination, 0, ttl, total, 0] {
                put_varint(&mut rest, number);
            }
        }
        rest.extend(&self.body);
        let mut bytes = Vec::new();
        put_varint(&mut bytes, rest.len() as u64);
        bytes.extend(rest);
        bytes
    }

    pub(crate) fn take(bytes: &mut &[u8]) -> Option<Self> {
        let length = usize::try_from(take_varint(bytes)?).unwrap();
        let (mut frame, rest) = bytes.split_at(length);
        *bytes = rest;
        let (kind, flags) = (frame[0], frame[1]);
        frame = &frame[2..];
        let id = take_varint(&mut frame)?;
        let head = if flags & 1 == 1 {
            let mut number = || take_varint(&mut frame).unwrap();
            let (destination, _source, ttl, total, extension) =
                (number(), number(), number(), number(), number());
            frame = &frame[usize::try_from(extension).unwrap()..];
            Some((destination, ttl, total))
        } else {
            None
        };
        Some(Self { kind, flags, id, head, body: frame.to_vec() })
    }
}

/// One direction's key and counter.
pub(crate) struct Secrets {
    key: [u8; 32],
    counter: u64,
}

impl Secrets {
    pub(crate) fn new(label: &str, half: &[u8; 32]) -> Self {
        Self { key: blake3::derive_key(label, half), counter: 0 }
    }

    pub(crate) fn skip_to(&mut self, counter: u64) {
        assert!(counter < RECORDS_PER_KEY);
        self.counter = counter;
    }

    fn next(&mut self) -> (LessSafeKey, Nonce) {
        if self.counter != 0 && self.counter.is_multiple_of(RECORDS_PER_KEY) {
            self.key = blake3::derive_key(REKEY, &self.key);
        }
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.key).unwrap());
        (key, Nonce::assume_unique_for_key(nonce))
    }

    /// The plaintext of a record.
    pub(crate) fn open(&mut self, record: &[u8]) -> Vec<u8> {
        let (length, mut sealed) = ([record[0], record[1]], record[2..].to_vec());
        assert_eq!(usize::from(u16::from_be_bytes(length)), sealed.len());
        let (key, nonce) = self.next();
        key.open_in_place(nonce, Aad::from(length), &mut sealed).unwrap().to_vec()
    }

    pub(crate) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let length = u16::try_from(plain.len() + 16).unwrap().to_be_bytes();
        let (key, nonce) = self.next();
        let mut sealed = plain.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(length), &mut sealed).unwrap();
        [&length[..], &sealed].concat()
    }
}

fn preamble(length: usize) -> [u8; 8] {
    let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
    [b'C', b'L', b'K', b'1', 1, 1, high, low]
}

fn handshake(
    cookie: &[u8; 32],
    prologue: &[u8],
    dials: bool,
    ephemeral: Option<&[u8; 32]>,
) -> HandshakeState {
    let psk = blake3::derive_key(PSK, cookie);
    let name = "Noise_NNpsk0_25519_AESGCM_SHA256".parse().unwrap();
    let mut builder = Builder::new(name).psk(0, &psk).unwrap().prologue(prologue).unwrap();
    if let Some(secret) = ephemeral {
        builder = builder.fixed_ephemeral_key_for_testing_only(secret);
    }
    if dials { builder.build_initiator() } else { builder.build_responder() }.unwrap()
}

/// The dialer's first message, preamble included.
pub(crate) fn begin(
    cookie: &[u8; 32],
    hello: &[u8],
    ephemeral: Option<&[u8; 32]>,
) -> (HandshakeState, Vec<u8>) {
    let prologue = preamble(hello.len() + 32 + 16);
    let mut state = handshake(cookie, &prologue, true, ephemeral);
    let mut message = [0; 1_024];
    let length = state.write_message(hello, &mut message).unwrap();
    (state, [&prologue[..], &message[..length]].concat())
}

/// The acceptor's welcome, from what follows its preamble.
pub(crate) fn finish(state: &mut HandshakeState, message: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 1_024];
    let length = state.read_message(message, &mut payload).unwrap();
    payload.truncate(length);
    payload
}

/// What the acceptor makes of the dialer's first message.
pub(crate) fn answer(
    cookie: &[u8; 32],
    first: &[u8],
    ephemeral: Option<&[u8; 32]>,
) -> (HandshakeState, Vec<u8>) {
    let mut state = handshake(cookie, &first[..8], false, ephemeral);
    let hello = finish(&mut state, &first[8..]);
    (state, hello)
}

/// The acceptor's message, preamble included.
pub(crate) fn welcome(state: &mut HandshakeState, welcome: &[u8]) -> Vec<u8> {
    let mut message = [0; 1_024];
    let length = state.write_message(welcome, &mut message).unwrap();
    [&preamble(length)[..], &message[..length]].concat()
}

/// A session of this implementation with a node.
pub(crate) struct Session {
    stream: TcpStream,
    seal: Secrets,
    open: Secrets,
    frames: Vec<u8>,
    record: Vec<u8>,
    at: usize,
    /// Its id, for the MARK of a session after it.
    pub(crate) id: u64,
}

impl Session {
    fn new(id: u64, stream: TcpStream, seal: Secrets, open: Secrets) -> Self {
        Self { stream, seal, open, frames: Vec::new(), record: Vec::new(), at: 0, id }
    }

    pub(crate) async fn dial(mut stream: TcpStream, cookie: &[u8; 32], hello: &Hello) -> (Self, Hello) {
        let (mut state, first) = begin(cookie, &hello.encode(), None);
        stream.write_all(&first).await.unwrap();
        let second = message(&mut stream).await;
        let welcome = finish(&mut state, &second[8..]);
        let (welcome, mut session) = Hello::decode(&welcome);
        let id = take_varint(&mut session).expect("the session's id");
        let (to_acceptor, to_dialer) = state.dangerously_get_raw_split();
        let (seal, open) = (Secrets::new(TO_ACCEPTOR, &to_acceptor), Secrets::new(TO_DIALER, &to_dialer));
        let mut this = Self::new(id, stream, seal, open);
        this.plain(b"FINISH\x00").await;
        assert_eq!(this.next_record().await, [0, 0], "READY, no session lost");
        (this, welcome)
    }

    pub(crate) async fn accept(
        mut stream: TcpStream,
        cookie: &[u8; 32],
        own: &Hello,
        session: u64,
    ) -> (Self, Hello) {
        let first = message(&mut stream).await;
        let (mut state, hello) = answer(cookie, &first, None);
        let mut payload = own.encode();
        put_varint(&mut payload, session);
        stream.write_all(&welcome(&mut state, &payload)).await.unwrap();
        let (to_acceptor, to_dialer) = state.dangerously_get_raw_split();
        let (seal, open) = (Secrets::new(TO_DIALER, &to_dialer), Secrets::new(TO_ACCEPTOR, &to_acceptor));
        let mut this = Self::new(session, stream, seal, open);
        assert_eq!(this.next_record().await, b"FINISH\x00");
        this.plain(&[0, 0]).await;
        (this, Hello::decode(&hello).0)
    }

    async fn plain(&mut self, plain: &[u8]) {
        let record = self.seal.seal(plain);
        self.stream.write_all(&record).await.unwrap();
    }

    async fn next_record(&mut self) -> Vec<u8> {
        let mut record = vec![0; 2];
        self.stream.read_exact(&mut record).await.unwrap();
        record.resize(2 + usize::from(u16::from_be_bytes([record[0], record[1]])), 0);
        self.stream.read_exact(&mut record[2..]).await.unwrap();
        self.open.open(&record)
    }

    /// Puts frames into the next record.
    pub(crate) fn send(&mut self, frames: &[Frame]) {
        self.frames.extend(frames.iter().flat_map(Frame::encode));
    }

    /// Sends the record.
    pub(crate) async fn flush(&mut self) {
        let frames = std::mem::take(&mut self.frames);
        self.plain(&frames).await;
    }

    /// The node's next frame.
    pub(crate) async fn frame(&mut self) -> Frame {
        while self.at == self.record.len() {
            (self.record, self.at) = (self.next_record().await, 0);
        }
        let mut rest = &self.record[self.at..];
        let frame = Frame::take(&mut rest).unwrap();
        self.at = self.record.len() - rest.len();
        frame
    }
}

/// A preamble and the message it announces.
async fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut message = vec![0; 8];
    stream.read_exact(&mut message).await.unwrap();
    message.resize(8 + usize::from(u16::from_be_bytes([message[6], message[7]])), 0);
    stream.read_exact(&mut message[8..]).await.unwrap();
    message
}

/// What a node answers to a first message, before it hangs up.
pub(crate) async fn first_answer(mut stream: TcpStream, cookie: &[u8; 32], hello: &Hello) -> Vec<u8> {
    stream.write_all(&begin(cookie, &hello.encode(), None).1).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}
