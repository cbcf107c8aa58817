//! A host that reads slowly, or is behind with its first connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use netkernel::{Address, BoxFuture, Connection, Listener, MemoryHost, Transport};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use super::SECOND;

/// The transport of such a host.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    host: MemoryHost,
    /// Of each connection, whichever end dialed it.
    bytes_a_second: usize,
    connections: Arc<AtomicUsize>,
    is_behind: watch::Sender<bool>,
}

impl Line {
    /// Reads so many bytes a second of each connection.
    pub(crate) fn slow(host: MemoryHost, bytes_a_second: usize) -> Self {
        Self { host, bytes_a_second, connections: Arc::default(), is_behind: watch::Sender::new(false) }
    }

    /// Reads as fast as it can.
    pub(crate) fn fast(host: MemoryHost) -> Self {
        Self::slow(host, usize::MAX)
    }

    /// Whether the first connection is not read.
    pub(crate) fn set_behind(&self, is_behind: bool) {
        self.is_behind.send_replace(is_behind);
    }

    fn put_in(&self, mut connection: Connection) -> Connection {
        let mut turns = tokio::time::interval(SECOND / TURNS_A_SECOND);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let is_first = self.connections.fetch_add(1, Ordering::Relaxed) == 0;
        connection.read = Box::new(Reads {
            inner: connection.read,
            bytes_a_second: self.bytes_a_second,
            turns,
            has_turn: false,
            is_behind: is_first.then(|| self.is_behind.clone()),
            goes_on: None,
        });
        connection
    }
}

impl Transport for Line {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = self.host.bind(address).await?;
            Ok(Box::new(Listens { inner, line: self.clone() }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async { Ok(self.put_in(self.host.connect(address).await?)) })
    }
}

#[derive(Debug)]
struct Listens {
    inner: Box<dyn Listener>,
    line: Line,
}

impl Listener for Listens {
    fn local_address(&self) -> Address {
        self.inner.local_address()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async { Ok(self.line.put_in(self.inner.accept().await?)) })
    }
}

struct Reads {
    inner: Box<dyn AsyncRead + Send + Unpin>,
    bytes_a_second: usize,
    turns: Interval,
    has_turn: bool,
    is_behind: Option<watch::Sender<bool>>,
    goes_on: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Reads {
    fn poll_behind(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(is_behind) = self.is_behind.as_ref().filter(|is_behind| *is_behind.borrow()) else {
            return Poll::Ready(());
        };
        let mut changes = is_behind.subscribe();
        let wait = async move { drop(changes.wait_for(|is_behind| !is_behind).await) };
        ready!(self.goes_on.get_or_insert_with(|| Box::pin(wait)).as_mut().poll(context));
        self.goes_on = None;
        Poll::Ready(())
    }
}

impl AsyncRead for Reads {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_behind(context));
        if self.bytes_a_second == usize::MAX {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        if !self.has_turn {
            ready!(self.turns.poll_tick(context));
            self.has_turn = true;
        }
        let bytes_max = self.bytes_a_second / TURNS_A_SECOND as usize;
        let mut part = vec![0; buffer.remaining().min(bytes_max)];
        let mut read = ReadBuf::new(&mut part);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut read))?;
        buffer.put_slice(read.filled());
        self.has_turn = false;
        Poll::Ready(Ok(()))
    }
}

/// How often a slow connection is read.
const TURNS_A_SECOND: u32 = 4;
