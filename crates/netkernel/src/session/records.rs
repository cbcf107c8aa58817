//! Records in: from the bytes of a connection to opened plaintext.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use super::REST_AFTER;
use crate::error::HandshakeError;
use crate::security::{Open, RecordError};

/// Reads records and opens them in place.
pub(crate) struct RecordReader {
    read: Box<dyn AsyncRead + Send + Unpin>,
    open: Box<dyn Open>,
    buffer: BytesMut,
    /// How much room to make for the next read: grows while reads fill it, shrinks while they do not.
    want_bytes: usize,
    /// The buffer has more room than an idle session keeps.
    roomy: bool,
    /// What was read since other tasks last had a turn.
    turn_bytes: usize,
    /// When the last byte was read.
    pub(super) read_at: Instant,
    /// Told of every read, be it less than a record: on a slow way one takes long.
    pub(super) heard: Arc<Heard>,
}

/// What was heard of the peer: when last, in milliseconds since the session began, and how often.
pub(super) struct Heard {
    start: Instant,
    last_ms: AtomicU64,
    times: AtomicU64,
    /// Nothing is read until another session has ended: silence says nothing.
    held: AtomicBool,
    /// It has sent its last frame.
    over: AtomicBool,
}

impl Heard {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
            times: AtomicU64::new(0),
            held: AtomicBool::new(false),
            over: AtomicBool::new(false),
        })
    }

    /// Some of what it sent was read.
    fn at(&self, now: Instant) {
        self.is_silent_from(now);
        self.times.fetch_add(1, Ordering::Relaxed);
    }

    fn is_silent_from(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.start).as_millis();
        self.last_ms.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Nothing will be read for a while.
    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::Relaxed);
    }

    /// It is read again. Nothing new was heard by that.
    pub(super) fn release(&self) {
        self.is_silent_from(Instant::now());
        self.held.store(false, Ordering::Relaxed);
    }

    /// It has sent its last frame.
    pub(super) fn ends(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }

    /// For how long nothing was heard since `begun`, not counting while nothing is read.
    pub(super) fn silent_since(&self, begun: Instant) -> Duration {
        if self.is_held() { Duration::ZERO } else { self.silence().min(begun.elapsed()) }
    }

    pub(super) fn silence(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

/// Why there is no next record.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("the connection ended")]
    Ended,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl From<ReadError> for HandshakeError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Ended => Self::Closed,
            ReadError::Io(error) => Self::Io(error),
            ReadError::Record(_) => Self::Damaged,
        }
    }
}

impl RecordReader {
    pub(crate) fn new(read: Box<dyn AsyncRead + Send + Unpin>, open: Box<dyn Open>) -> Self {
        Self {
            read,
            open,
            buffer: BytesMut::new(),
            want_bytes: READ_BYTES_MIN,
            roomy: false,
            turn_bytes: 0,
            read_at: Instant::now(),
            heard: Heard::new(),
        }
    }

    /// The next record's plaintext and its size on the wire. Cancel safe: what was read stays in the buffer.
    pub(crate) async fn next(&mut self) -> Result<(Bytes, usize), ReadError> {
        loop {
            if let Some(record) = self.buffered()? {
                return Ok(record);
            }
            if self.turn_bytes >= TURN_BYTES {
                self.turn_bytes = 0;
                tokio::task::yield_now().await;
            }
            // Where little comes, the room of several records is used up before more is asked for.
            if self.want_bytes > READ_BYTES_MIN || self.room_bytes() < ROOM_BYTES_MIN {
                self.buffer.reserve(self.want_bytes);
            }
            let room_bytes = self.room_bytes().min(self.want_bytes);
            let bytes = self.read_some().await?;
            if bytes == 0 {
                return Err(ReadError::Ended);
            }
            self.turn_bytes += bytes;
            self.read_at = Instant::now();
            self.heard.at(self.read_at);
            self.want_bytes = if bytes >= room_bytes {
                (self.want_bytes * 2).min(READ_BYTES_MAX)
            } else {
                (self.want_bytes / 2).max(READ_BYTES_MIN).max(bytes)
            };
            self.roomy |= self.want_bytes > READ_BYTES_MIN;
        }
    }

    fn room_bytes(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Reads what has come. The room that earlier reads needed is given back while nothing comes.
    async fn read_some(&mut self) -> io::Result<usize> {
        if self.roomy {
            let read = self.read.read_buf(&mut self.buffer);
            if let Ok(read) = tokio::time::timeout(REST_AFTER, read).await {
                return read;
            }
            let begun = std::mem::take(&mut self.buffer);
            (self.want_bytes, self.roomy) = (READ_BYTES_MIN, false);
            self.buffer.reserve(begun.len() + self.want_bytes);
            self.buffer.extend_from_slice(&begun);
        }
        self.read.read_buf(&mut self.buffer).await
    }

    fn buffered(&mut self) -> Result<Option<(Bytes, usize)>, RecordError> {
        let Some(&header) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let bytes = usize::from(u16::from_be_bytes(header));
        if bytes < self.open.overhead_bytes() {
            return Err(RecordError);
        }
        if self.buffer.len() < HEADER_BYTES + bytes {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        let mut record = self.buffer.split_to(bytes);
        let plain_bytes = self.open.open(header, &mut record)?;
        record.truncate(plain_bytes);
        Ok(Some((record.freeze(), HEADER_BYTES + bytes)))
    }
}

/// The length before each record.
pub(super) const HEADER_BYTES: usize = 2;
const READ_BYTES_MIN: usize = 1_024;
const READ_BYTES_MAX: usize = 128 * 1_024;
/// Room for a record of one small message.
const ROOM_BYTES_MIN: usize = 512;
/// After so much, what the records made ready to run has its turn, be there ever more to read: replies, for one.
const TURN_BYTES: usize = 64 * 1_024;
