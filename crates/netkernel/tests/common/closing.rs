//! Connections that take their time to close.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use netkernel::{Address, BoxFuture, Connection, Listener, MemoryHost, Transport};
use tokio::io::AsyncWrite;

/// What a connection waits for before it closes.
type Wait = fn() -> BoxFuture<'static, ()>;

/// A transport whose closing takes its time, as that of TLS does on a full connection.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    inner: MemoryHost,
    wait: Wait,
}

impl Closing {
    pub(crate) fn new(inner: MemoryHost, wait: Wait) -> Self {
        Self { inner, wait }
    }

    fn put_in(&self, mut connection: Connection) -> Connection {
        connection.write = Box::new(Closes { inner: connection.write, wait: self.wait, waits: None });
        connection
    }
}

impl Transport for Closing {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = self.inner.bind(address).await?;
            Ok(Box::new(ClosingListener { inner, of: self.clone() }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async { Ok(self.put_in(self.inner.connect(address).await?)) })
    }
}

#[derive(Debug)]
struct ClosingListener {
    inner: Box<dyn Listener>,
    of: Closing,
}

impl Listener for ClosingListener {
    fn local_address(&self) -> Address {
        self.inner.local_address()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async { Ok(self.of.put_in(self.inner.accept().await?)) })
    }
}

struct Closes {
    inner: Box<dyn AsyncWrite + Send + Unpin>,
    wait: Wait,
    waits: Option<BoxFuture<'static, ()>>,
}

impl AsyncWrite for Closes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wait = self.wait;
        ready!(self.waits.get_or_insert_with(wait).as_mut().poll(context));
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
