//! NATS through its broker, by the text protocol itself: no client library stands in its way.

use std::collections::HashMap;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};

use crate::drive::{self, Client};

const ADDRESS: &str = "CLUSTERLUCK_BENCH_NATS";

/// A broker that lives as long as this.
pub struct Server(Child);

impl Server {
    pub fn start() -> Self {
        let free =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port is free");
        let config = std::env::temp_dir().join(format!("clusterluck-bench-nats-{}.conf", free.port()));
        std::fs::write(&config, "max_payload: 2MB\nwrite_deadline: \"20s\"\nmax_pending: 256MB\n")
            .expect("the folder for temporary files is writable");
        let broker = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &free.port().to_string(), "-c"])
            .arg(&config)
            .stderr(Stdio::null())
            .spawn()
            .expect("the broker starts");
        // SAFETY: no other thread of this program reads or writes the environment.
        unsafe { std::env::set_var(ADDRESS, free.to_string()) };
        while std::net::TcpStream::connect(free).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self(broker)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// A line of the protocol, with what follows it.
enum Said {
    Message { subject: Bytes, reply: Option<Bytes>, body: Bytes },
    Ping,
    Other,
}

struct Reader {
    read: OwnedReadHalf,
    buffer: BytesMut,
}

impl Reader {
    async fn next(&mut self) -> Option<Said> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = Bytes::copy_from_slice(&self.buffer[..end]);
                let mut words = line.split(|&byte| byte == b' ');
                match words.next()? {
                    b"MSG" => {
                        let words: Vec<Bytes> = words.map(|word| line.slice_ref(word)).collect();
                        let bytes: usize = std::str::from_utf8(words.last()?).ok()?.parse().ok()?;
                        while self.buffer.len() < end + 2 + bytes + 2 {
                            self.more().await?;
                        }
                        self.buffer.advance(end + 2);
                        let body = self.buffer.split_to(bytes).freeze();
                        self.buffer.advance(2);
                        let reply = (words.len() == 4).then(|| words[2].clone());
                        return Some(Said::Message { subject: words[0].clone(), reply, body });
                    }
                    word => {
                        let said = if word == b"PING" { Said::Ping } else { Said::Other };
                        self.buffer.advance(end + 2);
                        return Some(said);
                    }
                }
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Option<()> {
        self.buffer.reserve(128 << 10);
        let bytes = self.read.read_buf(&mut self.buffer).await.ok()?;
        (bytes > 0).then_some(())
    }
}

/// Connects to the broker: what to write goes into the channel, gathered into as few writes as possible.
async fn broker(address: &str) -> (Reader, mpsc::Sender<(String, Bytes)>) {
    let stream = TcpStream::connect(address).await.expect("the broker listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let (read, mut write) = stream.into_split();
    let (lines, mut queue) = mpsc::channel::<(String, Bytes)>(1_024);
    drive::spawn(async move {
        let (mut batch, mut buffer) = (Vec::new(), Vec::new());
        while queue.recv_many(&mut batch, 1_024).await > 0 {
            for (line, body) in batch.drain(..) {
                buffer.extend_from_slice(line.as_bytes());
                if line.starts_with("PUB") {
                    buffer.extend_from_slice(&body);
                    buffer.extend_from_slice(b"\r\n");
                }
                if buffer.len() > 128 << 10 {
                    write.write_all(&buffer).await?;
                    buffer.clear();
                }
            }
            write.write_all(&buffer).await?;
            buffer.clear();
        }
        std::io::Result::Ok(())
    });
    say(&lines, "CONNECT {\"verbose\":false}\r\n".to_owned()).await;
    (Reader { read, buffer: BytesMut::new() }, lines)
}

async fn say(lines: &mpsc::Sender<(String, Bytes)>, line: String) {
    lines.send((line, Bytes::new())).await.expect("the writer lives");
}

pub async fn serve() -> String {
    let address = std::env::var(ADDRESS).expect("the broker was started");
    let (mut reader, lines) = broker(&address).await;
    say(&lines, "SUB casts 1\r\nSUB calls 2\r\n".to_owned()).await;
    drive::spawn(async move {
        let mut casts = 0;
        while let Some(said) = reader.next().await {
            match said {
                Said::Message { reply: Some(reply), body, .. } => {
                    let body = drive::reply(body, casts);
                    let reply = String::from_utf8_lossy(&reply).into_owned();
                    let line = format!("PUB {reply} {}\r\n", body.len());
                    lines.send((line, body)).await.expect("the writer lives");
                }
                Said::Message { .. } => casts += 1,
                Said::Ping => say(&lines, "PONG\r\n".to_owned()).await,
                Said::Other => {}
            }
        }
    });
    address
}

type Pending = Arc<Mutex<HashMap<Bytes, oneshot::Sender<Bytes>>>>;

#[derive(Clone)]
pub struct Nats {
    lines: mpsc::Sender<(String, Bytes)>,
    pending: Pending,
    next: Arc<AtomicU64>,
}

pub async fn connect(address: &str) -> Nats {
    let (mut reader, lines) = broker(address).await;
    say(&lines, "SUB replies.* 1\r\n".to_owned()).await;
    let pending = Pending::default();
    let (waiting, answers) = (Arc::clone(&pending), lines.clone());
    drive::spawn(async move {
        while let Some(said) = reader.next().await {
            match said {
                Said::Message { subject, body, .. } => {
                    let caller = waiting.lock().expect("nobody panics").remove(&subject);
                    if let Some(caller) = caller {
                        let _gone = caller.send(body);
                    }
                }
                Said::Ping => say(&answers, "PONG\r\n".to_owned()).await,
                Said::Other => {}
            }
        }
    });
    Nats { lines, pending, next: Arc::new(AtomicU64::new(0)) }
}

impl Client for Nats {
    async fn cast(&self, body: Bytes) {
        self.lines.send((format!("PUB casts {}\r\n", body.len()), body)).await.expect("the writer lives");
    }

    async fn call(&self, body: Bytes) -> Bytes {
        let inbox = format!("replies.{}", self.next.fetch_add(1, Ordering::Relaxed));
        let (slot, reply) = oneshot::channel();
        self.pending.lock().expect("nobody panics").insert(Bytes::from(inbox.clone()), slot);
        let line = format!("PUB calls {inbox} {}\r\n", body.len());
        self.lines.send((line, body)).await.expect("the writer lives");
        reply.await.expect("the receiver replies")
    }
}
