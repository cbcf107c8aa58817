//! Raw TCP: casts on one connection, calls on another, nothing in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::drive::{self, Client};

#[derive(Clone)]
pub struct Raw {
    casts: Arc<Mutex<BufWriter<TcpStream>>>,
    calls: Arc<Mutex<TcpStream>>,
}

pub async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("a bound socket has an address").to_string();
    let casts = Arc::new(AtomicU64::new(0));
    drive::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("a TCP socket");
            drive::spawn(one(stream, Arc::clone(&casts)));
        }
    });
    address
}

/// Serves a connection: its first byte says whether casts or calls come by it.
async fn one(stream: TcpStream, casts: Arc<AtomicU64>) -> Option<()> {
    let mut stream = BufReader::with_capacity(256 << 10, stream);
    let calls = stream.read_u8().await.ok()? == b'?';
    let mut body = Vec::new();
    loop {
        let bytes = stream.read_u32().await.ok()?;
        body.resize(bytes as usize, 0);
        stream.read_exact(&mut body).await.ok()?;
        if calls {
            let reply = drive::reply(Bytes::copy_from_slice(&body), casts.load(Ordering::Relaxed));
            stream.write_all(&framed(&reply)).await.ok()?;
        } else {
            casts.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

pub async fn connect(address: &str) -> Raw {
    let open = async |kind: u8| {
        let mut stream = TcpStream::connect(address).await.expect("the receiver listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.write_u8(kind).await.expect("the receiver reads");
        stream
    };
    let casts = BufWriter::with_capacity(64 << 10, open(b'!').await);
    Raw { casts: Arc::new(Mutex::new(casts)), calls: Arc::new(Mutex::new(open(b'?').await)) }
}

impl Client for Raw {
    async fn cast(&self, body: Bytes) {
        let mut stream = self.casts.lock().await;
        stream.write_u32(body.len() as u32).await.expect("the receiver reads");
        stream.write_all(&body).await.expect("the receiver reads");
    }

    async fn call(&self, body: Bytes) -> Bytes {
        if body == drive::COUNT {
            self.casts.lock().await.flush().await.expect("the receiver reads");
        }
        let mut stream = self.calls.lock().await;
        stream.write_all(&framed(&body)).await.expect("the receiver reads");
        let bytes = stream.read_u32().await.expect("the receiver replies");
        let mut reply = vec![0; bytes as usize];
        stream.read_exact(&mut reply).await.expect("the receiver replies");
        reply.into()
    }
}
