//! A transport whose connections suffer, byte by byte, what a test asks for.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use netkernel::{Address, BoxFuture, Connection, Listener, MemoryHost, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What befalls one direction of the connections that are dialed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fate {
    /// One byte at a time.
    pub(crate) slow: bool,
    /// The byte at this index is changed.
    pub(crate) flip: Option<usize>,
    /// Nothing passes after this many bytes, and the connection breaks.
    pub(crate) cut: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) inner: MemoryHost,
    pub(crate) sent: Fate,
    pub(crate) received: Fate,
    /// How many bytes were sent and received over connections that were dialed.
    pub(crate) bytes: Arc<Mutex<(usize, usize)>>,
}

impl Wire {
    pub(crate) fn new(inner: MemoryHost) -> Self {
        Self { inner, sent: Fate::default(), received: Fate::default(), bytes: Arc::default() }
    }
}

impl Transport for Wire {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.inner.bind(address)
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async move {
            let Connection { read, write, remote, .. } = self.inner.connect(address).await?;
            let end = |fate| End { fate, at: 0, bytes: Arc::clone(&self.bytes) };
            let read = Read { inner: read, end: end(self.received) };
            Ok(Connection::new(read, Write { inner: write, end: end(self.sent) }, remote))
        })
    }
}

struct End {
    fate: Fate,
    at: usize,
    bytes: Arc<Mutex<(usize, usize)>>,
}

impl End {
    /// How many of so many bytes may pass now.
    fn allowed(&self, bytes: usize) -> io::Result<usize> {
        let left = self.fate.cut.map_or(usize::MAX, |cut| cut - self.at);
        if left == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(bytes.min(left).min(if self.fate.slow { 1 } else { usize::MAX }))
    }

    fn pass(&mut self, bytes: &mut [u8]) {
        let flipped = self.fate.flip.and_then(|flip| flip.checked_sub(self.at));
        if let Some(byte) = flipped.and_then(|index| bytes.get_mut(index)) {
            *byte ^= 1;
        }
        self.at += bytes.len();
    }
}

struct Read {
    inner: Box<dyn AsyncRead + Send + Unpin>,
    end: End,
}

impl AsyncRead for Read {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let mut chunk = vec![0; this.end.allowed(buffer.remaining().min(1 << 16))?];
        let mut part = ReadBuf::new(&mut chunk);
        std::task::ready!(Pin::new(&mut this.inner).poll_read(context, &mut part))?;
        let read = part.filled().len();
        this.end.pass(&mut chunk[..read]);
        this.end.bytes.lock().unwrap().1 += read;
        buffer.put_slice(&chunk[..read]);
        Poll::Ready(Ok(()))
    }
}

struct Write {
    inner: Box<dyn AsyncWrite + Send + Unpin>,
    end: End,
}

impl AsyncWrite for Write {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut chunk = bytes[..this.end.allowed(bytes.len())?].to_vec();
        // Shown to the inner stream first as they will be, counted only as far as it takes them.
        let at = this.end.at;
        this.end.pass(&mut chunk);
        this.end.at = at;
        let written = std::task::ready!(Pin::new(&mut this.inner).poll_write(context, &chunk))?;
        this.end.at += written;
        this.end.bytes.lock().unwrap().0 += written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
