//! Records out: frames gathered into as few records as they fit, sealed in place, written at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BufMut;
use thiserror::Error;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::records::HEADER_BYTES;
use crate::link::{Message, Piece};
use crate::node::ServerName;
use crate::proto::frame::{self, Flags, Head, Kind};
use crate::proto::interning::{Interned, Lookup};
use crate::security::{RecordError, Seal};

/// Gathers frames and writes them as sealed records.
pub(crate) struct Encoder {
    write: Box<dyn AsyncWrite + Send + Unpin>,
    seal: Box<dyn Seal>,
    interned: Interned,
    /// The server of the last message: the next is likely for it, too.
    last: Option<(ServerName, u64)>,
    buffer: Vec<u8>,
    /// How many of the buffer's first bytes are written, or not to be written at all.
    done_bytes: usize,
    /// The connection, or the key, is of no further use.
    broken: bool,
    /// Where the record that is being filled begins.
    record: Option<usize>,
}

/// Why records could not be written.
#[derive(Debug, Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Encoder {
    pub(crate) fn new(write: Box<dyn AsyncWrite + Send + Unpin>, seal: Box<dyn Seal>) -> Self {
        Self {
            write,
            seal,
            interned: Interned::default(),
            last: None,
            buffer: Vec::new(),
            done_bytes: 0,
            broken: false,
            record: None,
        }
    }

    /// Says that large bodies will be appended. Those begin at a page, nearly, and so does the buffer; a copy between two
    /// addresses of which the second lies some bytes after the first, multiples of a page aside, takes up to ten times as
    /// long on some processors (measured: 3 instead of 30 GB/s). So they are kept half a page apart.
    pub(super) fn lead(&mut self) {
        if self.buffer.is_empty() {
            self.buffer.put_bytes(0, LEAD_BYTES);
            self.done_bytes = LEAD_BYTES;
        }
    }

    /// Appends a piece.
    pub(super) fn piece(&mut self, piece: &Piece) -> Result<(), RecordError> {
        let head = match &piece.head {
            None => None,
            Some((None, head)) => Some(*head),
            Some((Some(server), head)) => Some(Head { destination: self.destination(server)?, ..*head }),
        };
        self.frame(piece.kind, piece.flags, piece.id, head.as_ref(), &piece.body)
    }

    /// Appends a message that fits one frame.
    pub(super) fn message(&mut self, message: &Message, now: Instant) -> Result<(), RecordError> {
        let envelope = message.envelope(0, now);
        let destination = envelope.server.map_or(Ok(0), |server| self.destination(server))?;
        let head = Head { destination, ..envelope.head };
        let flags = if envelope.refused { Flags::WHOLE.with(Flags::REFUSED) } else { Flags::WHOLE };
        self.frame(envelope.kind, flags, envelope.id, Some(&head), &message.body)
    }

    /// Appends a frame.
    pub(super) fn frame(
        &mut self,
        kind: Kind,
        flags: Flags,
        id: u64,
        head: Option<&Head>,
        body: &[u8],
    ) -> Result<(), RecordError> {
        self.make_room(body.len() + frame::OVERHEAD_BYTES_MAX)?;
        frame::put(&mut self.buffer, kind, flags, id, head, body);
        Ok(())
    }

    /// Appends bytes that are no frame, as a record of their own.
    pub(crate) fn plain(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.seal_record()?;
        self.make_room(bytes.len())?;
        self.buffer.put_slice(bytes);
        self.seal_record()
    }

    /// Seals and writes all that was appended. Not cancel safe: dropped in between, the session is of no further use.
    pub(crate) async fn flush(&mut self) -> Result<(), WriteError> {
        self.write_now()?;
        while !self.is_written() {
            self.write_some().await?;
        }
        Ok(())
    }

    /// Seals what was appended and writes what the connection takes without waiting; says how many bytes that were.
    /// The rest stays: see [`is_written`](Self::is_written).
    pub(super) fn write_now(&mut self) -> Result<usize, WriteError> {
        self.seal_record()?;
        // Where the connection takes no more, whoever waits for that asks again with a waker of its own.
        let mut context = Context::from_waker(Waker::noop());
        let mut bytes = 0;
        while !self.is_written() {
            match self.poll_write(&mut context) {
                Poll::Ready(written) => bytes += written?,
                Poll::Pending => break,
            }
        }
        Ok(bytes)
    }

    /// Waits until the connection takes some of what is left, and says how many bytes it took.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has written nothing.
    pub(super) async fn write_some(&mut self) -> Result<usize, WriteError> {
        std::future::poll_fn(|context| self.poll_write(context)).await
    }

    /// Whether the connection has taken all that was appended.
    pub(super) fn is_written(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Writes some of what is left, or, where all is, tells the connection that it was all.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, WriteError>> {
        if self.broken {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::BrokenPipe).into()));
        }
        let left = &self.buffer[self.done_bytes..];
        let polled = if left.is_empty() {
            Pin::new(&mut self.write).poll_flush(context).map_ok(|()| 0)
        } else {
            Pin::new(&mut self.write).poll_write(context, left).map(|written| match written {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                written => written,
            })
        };
        match std::task::ready!(polled) {
            Ok(bytes) => {
                self.done_bytes += bytes;
                if bytes == 0 {
                    self.buffer.clear();
                    self.done_bytes = 0;
                }
                Poll::Ready(Ok(bytes))
            }
            Err(error) => {
                self.broken = true;
                Poll::Ready(Err(error.into()))
            }
        }
    }

    /// Whether its buffer has grown beyond what an idle session keeps.
    pub(super) fn is_roomy(&self) -> bool {
        self.buffer.capacity() > BUFFER_BYTES_KEPT
    }

    /// Gives back what an idle session does not keep.
    pub(super) fn rest(&mut self) {
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
    }

    /// Tells the transport that nothing follows.
    pub(super) async fn shutdown(&mut self) {
        // The peer has our GOAWAY already; a transport that cannot close its half tells it nothing new.
        let _closed = self.write.shutdown().await;
    }

    fn destination(&mut self, server: &ServerName) -> Result<u64, RecordError> {
        if let Some((last, id)) = &self.last
            && last == server
        {
            return Ok(*id);
        }
        let id = match self.interned.lookup(server) {
            Lookup::Known(id) => id,
            Lookup::New(id) => {
                self.frame(Kind::Define, Flags::default(), id, None, server.as_str().as_bytes())?;
                id
            }
        };
        self.last = Some((server.clone(), id));
        Ok(id)
    }

    /// Begins a record, or a next one if this many bytes do not fit the present one.
    fn make_room(&mut self, bytes: usize) -> Result<(), RecordError> {
        if let Some(start) = self.record {
            if self.buffer.len() - start - HEADER_BYTES + bytes <= PLAIN_BYTES_MAX {
                return Ok(());
            }
            self.seal_record()?;
        }
        self.record = Some(self.buffer.len());
        self.buffer.put_bytes(0, HEADER_BYTES);
        Ok(())
    }

    fn seal_record(&mut self) -> Result<(), RecordError> {
        let Some(start) = self.record.take() else { return Ok(()) };
        // Until it is sealed, nothing of it may be written.
        self.broken = true;
        let plain = start + HEADER_BYTES;
        let sealed_bytes = self.buffer.len() - plain + self.seal.overhead_bytes();
        let header = u16::try_from(sealed_bytes).map_err(|_| RecordError)?.to_be_bytes();
        self.buffer[start..plain].copy_from_slice(&header);
        self.seal.seal(header, &mut self.buffer, plain)?;
        self.broken = false;
        Ok(())
    }
}

/// The most plaintext one record holds, so that its sealed length fits 16 bits.
const PLAIN_BYTES_MAX: usize = 65_000;
/// Half a page.
const LEAD_BYTES: usize = 2_048;
/// What an idle session keeps of its buffer.
const BUFFER_BYTES_KEPT: usize = 4 * 1_024;
