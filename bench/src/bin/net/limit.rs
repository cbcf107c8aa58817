//! Two limit programs. The sealed one does only the unavoidable: frames are copied into a record of 65,000 bytes,
//! sealed in place with the same AEAD, written; read, opened, counted; no tasks between. The mux is what one writes in
//! an afternoon: a channel to a writer task, a reader task, a map of pending calls; in plain text.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::drive::{self, Client};

async fn listen<F: Future<Output = Option<()>> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("a bound socket has an address").to_string();
    drive::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a TCP socket");
            drive::spawn(serve(stream));
        }
    });
    address
}

async fn open(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("the receiver listens");
    stream.set_nodelay(true).expect("a TCP socket");
    stream
}

struct Key {
    key: LessSafeKey,
    counter: u64,
}

impl Key {
    fn new() -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("the key has the right length");
        Self { key: LessSafeKey::new(key), counter: 0 }
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[NONCE_LEN - 8..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

struct Sealed {
    stream: TcpStream,
    key: Key,
    buffer: Vec<u8>,
    record: usize,
}

#[derive(Clone)]
pub struct SealedClient(Arc<tokio::sync::Mutex<Sealed>>);

const RECORD: usize = 65_000;

impl Sealed {
    fn seal(&mut self) {
        let plain = self.record + 2;
        if self.buffer.len() > plain {
            let header = ((self.buffer.len() - plain + 16) as u16).to_be_bytes();
            self.buffer[self.record..plain].copy_from_slice(&header);
            let nonce = self.key.nonce();
            let tag =
                self.key.key.seal_in_place_separate_tag(nonce, Aad::from(header), &mut self.buffer[plain..]);
            self.buffer.extend_from_slice(tag.expect("the record is short").as_ref());
        } else {
            self.buffer.truncate(self.record);
        }
        self.record = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 2]);
    }

    /// Two records are written at once.
    async fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = RECORD - (self.buffer.len() - self.record - 2);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() - self.record - 2 == RECORD {
                self.seal();
                if self.buffer.len() > 2 * RECORD {
                    self.flush().await;
                }
            }
        }
    }

    async fn flush(&mut self) {
        self.seal();
        self.stream.write_all(&self.buffer[..self.record]).await.expect("the receiver reads");
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; 2]);
        self.record = 0;
    }
}

pub async fn connect_sealed(address: &str) -> SealedClient {
    let sealed = Sealed { stream: open(address).await, key: Key::new(), buffer: vec![0; 2], record: 0 };
    SealedClient(Arc::new(tokio::sync::Mutex::new(sealed)))
}

impl Client for SealedClient {
    async fn cast(&self, body: Bytes) {
        let mut sealed = self.0.lock().await;
        sealed.put(&(body.len() as u32).to_be_bytes()).await;
        sealed.put(&body).await;
    }

    /// The only call it knows: how many casts came. A message of length 0 asks.
    async fn call(&self, _body: Bytes) -> Bytes {
        let mut sealed = self.0.lock().await;
        sealed.put(&[0; 4]).await;
        sealed.flush().await;
        let mut count = [0; 8];
        sealed.stream.read_exact(&mut count).await.expect("the receiver replies");
        Bytes::copy_from_slice(&count)
    }
}

pub async fn serve_sealed() -> String {
    listen(|mut stream| async move {
        let (mut key, mut buffer, mut plain) =
            (Key::new(), BytesMut::with_capacity(256 << 10), BytesMut::new());
        let mut casts = 0u64;
        let mut body: Option<usize> = None;
        loop {
            buffer.reserve(128 << 10);
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
            while let Some(&header) = buffer.first_chunk::<2>() {
                let bytes = usize::from(u16::from_be_bytes(header));
                if buffer.len() < 2 + bytes {
                    break;
                }
                buffer.advance(2);
                let mut record = buffer.split_to(bytes);
                let opened = key
                    .key
                    .open_in_place(key_nonce(&mut key.counter), Aad::from(header), &mut record)
                    .ok()?;
                plain.extend_from_slice(opened);
                loop {
                    let wanted = body.unwrap_or(4);
                    if plain.len() < wanted {
                        break;
                    }
                    let part = plain.split_to(wanted);
                    match body.take() {
                        Some(_) => {
                            std::hint::black_box(part.freeze());
                            casts += 1;
                        }
                        None => match u32::from_be_bytes(part[..].try_into().ok()?) {
                            0 => stream.write_all(&casts.to_be_bytes()).await.ok()?,
                            bytes => body = Some(bytes as usize),
                        },
                    }
                }
            }
        }
    })
    .await
}

fn key_nonce(counter: &mut u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&counter.to_be_bytes());
    *counter += 1;
    Nonce::assume_unique_for_key(nonce)
}

type Pending = Arc<Mutex<HashMap<u64, oneshot::Sender<Bytes>>>>;

/// A frame: its call's number, or 0 for a cast, and its body.
type Frame = (u64, Bytes);

#[derive(Clone)]
pub struct Mux {
    frames: mpsc::Sender<Frame>,
    pending: Pending,
    next: Arc<AtomicU64>,
}

async fn write(mut stream: OwnedWriteHalf, mut frames: mpsc::Receiver<Frame>) -> Option<()> {
    let (mut batch, mut buffer) = (Vec::new(), Vec::new());
    while frames.recv_many(&mut batch, 1_024).await > 0 {
        buffer.clear();
        for (id, body) in batch.drain(..) {
            buffer.put_u32(body.len() as u32);
            buffer.put_u64(id);
            buffer.put_slice(&body);
            if buffer.len() > 128 << 10 {
                stream.write_all(&buffer).await.ok()?;
                buffer.clear();
            }
        }
        stream.write_all(&buffer).await.ok()?;
    }
    None
}

async fn next(stream: &mut OwnedReadHalf, buffer: &mut BytesMut) -> Option<Frame> {
    loop {
        if let Some(header) = buffer.first_chunk::<12>() {
            let bytes = u32::from_be_bytes(header[..4].try_into().ok()?) as usize;
            let id = u64::from_be_bytes(header[4..].try_into().ok()?);
            if buffer.len() >= 12 + bytes {
                buffer.advance(12);
                return Some((id, buffer.split_to(bytes).freeze()));
            }
        }
        buffer.reserve(128 << 10);
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

pub async fn serve_mux() -> String {
    listen(|stream| async move {
        let (mut read, write_half) = stream.into_split();
        let (frames, queue) = mpsc::channel(1_024);
        drive::spawn(write(write_half, queue));
        let (mut buffer, mut casts) = (BytesMut::new(), 0);
        loop {
            match next(&mut read, &mut buffer).await? {
                (0, _body) => casts += 1,
                (id, body) => frames.send((id, drive::reply(body, casts))).await.ok()?,
            }
        }
    })
    .await
}

pub async fn connect_mux(address: &str) -> Mux {
    let (mut read, write_half) = open(address).await.into_split();
    let (frames, queue) = mpsc::channel(1_024);
    let pending = Pending::default();
    drive::spawn(write(write_half, queue));
    let waiting = Arc::clone(&pending);
    drive::spawn(async move {
        let mut buffer = BytesMut::new();
        while let Some((id, body)) = next(&mut read, &mut buffer).await {
            let caller = waiting.lock().expect("nobody panics").remove(&id);
            if let Some(caller) = caller {
                let _gone = caller.send(body);
            }
        }
    });
    Mux { frames, pending, next: Arc::new(AtomicU64::new(1)) }
}

impl Client for Mux {
    async fn cast(&self, body: Bytes) {
        self.frames.send((0, body)).await.expect("the writer lives");
    }

    async fn call(&self, body: Bytes) -> Bytes {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (slot, reply) = oneshot::channel();
        self.pending.lock().expect("nobody panics").insert(id, slot);
        self.frames.send((id, body)).await.expect("the writer lives");
        reply.await.expect("the receiver replies")
    }
}
