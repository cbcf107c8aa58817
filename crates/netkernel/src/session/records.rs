//! Records in: from the bytes of a connection to opened plaintext.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::HandshakeError;
use crate::security::{Open, RecordError};

/// Reads records and opens them in place.
pub(crate) struct RecordReader {
    read: Box<dyn AsyncRead + Send + Unpin>,
    open: Box<dyn Open>,
    buffer: BytesMut,
    /// How much room to make for the next read: grows while reads fill it, shrinks while they do not.
    want_bytes: usize,
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
            ReadError::Record(_) => Self::Authentication,
        }
    }
}

impl RecordReader {
    pub(crate) fn new(read: Box<dyn AsyncRead + Send + Unpin>, open: Box<dyn Open>) -> Self {
        Self { read, open, buffer: BytesMut::new(), want_bytes: READ_BYTES_MIN }
    }

    /// The next record's plaintext and its size on the wire. Cancel safe: what was read stays in the buffer.
    pub(crate) async fn next(&mut self) -> Result<(Bytes, usize), ReadError> {
        loop {
            if let Some(record) = self.buffered()? {
                return Ok(record);
            }
            self.buffer.reserve(self.want_bytes);
            let bytes = self.read.read_buf(&mut self.buffer).await?;
            if bytes == 0 {
                return Err(ReadError::Ended);
            }
            self.want_bytes = if bytes >= self.want_bytes {
                (self.want_bytes * 2).min(READ_BYTES_MAX)
            } else {
                (self.want_bytes / 2).max(READ_BYTES_MIN).max(bytes)
            };
        }
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
const READ_BYTES_MIN: usize = 4 * 1_024;
const READ_BYTES_MAX: usize = 128 * 1_024;
