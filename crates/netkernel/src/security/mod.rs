//! How a connection becomes a channel that only holders of the cookie can read or write.

mod cookie;
mod insecure;
mod noise;
#[cfg(feature = "passphrase")]
mod passphrase;
mod record;
mod secret;
mod secret_file;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub use cookie::{Cookie, CookieError, Revealed};
pub use insecure::Insecure;
pub use noise::Noise;
#[cfg(feature = "passphrase")]
pub use passphrase::PassphraseError;

use crate::error::HandshakeError;
use crate::net::BoxFuture;
use crate::transport::Connection;

/// Turns connections into channels. Each end sends the other one short message on the way, kept as secret and
/// authentic as the channel itself.
///
/// Implementations set no time limits; the kernel does.
pub trait Security: Send + Sync + fmt::Debug + 'static {
    /// The dialing end: sends `hello`, gives the channel and the acceptor's message.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the connection is of no further use.
    fn client(
        &self,
        connection: Connection,
        hello: Vec<u8>,
    ) -> BoxFuture<'_, Result<(Channel, Vec<u8>), HandshakeError>>;

    /// The accepting end: sends `welcome` once the dialer's message has been found authentic, which it reports
    /// by `authentic`, and gives the channel and that message.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; the connection is of no further use.
    fn server<'a>(
        &'a self,
        connection: Connection,
        welcome: Vec<u8>,
        authentic: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, Result<(Channel, Vec<u8>), HandshakeError>>;
}

impl<T: Security + ?Sized> Security for Arc<T> {
    fn client(
        &self,
        connection: Connection,
        hello: Vec<u8>,
    ) -> BoxFuture<'_, Result<(Channel, Vec<u8>), HandshakeError>> {
        T::client(self, connection, hello)
    }

    fn server<'a>(
        &'a self,
        connection: Connection,
        welcome: Vec<u8>,
        authentic: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, Result<(Channel, Vec<u8>), HandshakeError>> {
        T::server(self, connection, welcome, authentic)
    }
}

/// A connection with the means to seal and open its records.
#[non_exhaustive]
pub struct Channel {
    /// The reading half of the connection.
    pub read: Box<dyn AsyncRead + Send + Unpin>,
    /// The writing half of the connection.
    pub write: Box<dyn AsyncWrite + Send + Unpin>,
    /// Seals what this end sends.
    pub seal: Box<dyn Seal>,
    /// Opens what the other end sent.
    pub open: Box<dyn Open>,
}

impl Channel {
    /// A channel over a connection.
    #[must_use]
    pub fn new(connection: Connection, seal: Box<dyn Seal>, open: Box<dyn Open>) -> Self {
        Self { read: connection.read, write: connection.write, seal, open }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Channel").finish_non_exhaustive()
    }
}

/// Seals records in the order they are sent.
pub trait Seal: Send {
    /// How many bytes sealing adds to a record.
    fn overhead_bytes(&self) -> usize;

    /// Seals `record[start..]` in place and appends what authenticates it together with `header`.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the key is spent; nothing more may be sent.
    fn seal(&mut self, header: [u8; 2], record: &mut Vec<u8>, start: usize) -> Result<(), RecordError>;
}

/// Opens records in the order they were sealed.
pub trait Open: Send {
    /// How many bytes sealing added to a record.
    fn overhead_bytes(&self) -> usize;

    /// Opens a record in place and says how many bytes of plaintext it starts with.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if it is not the next record the other end sealed.
    fn open(&mut self, header: [u8; 2], record: &mut [u8]) -> Result<usize, RecordError>;
}

/// A record was forged, damaged, replayed or reordered, or a key is spent. The session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a record failed authentication")]
pub struct RecordError;

/// The first bytes each end sends: magic, version, mode and the length of what follows. The dialer's are bound into
/// the handshake, so changing them makes it fail; each end accepts its own version and mode only: nothing can be
/// negotiated down.
pub(crate) const PREAMBLE_BYTES: usize = 8;
const MAGIC: [u8; 4] = *b"CLK1";
const VERSION: u8 = 1;
/// Longest handshake message, so that a stranger can make a node hold no more than this.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// The preamble before a first message of `bytes` bytes.
fn preamble(mode: u8, bytes: usize) -> Result<[u8; PREAMBLE_BYTES], HandshakeError> {
    if bytes > MESSAGE_BYTES_MAX {
        return Err(HandshakeError::Malformed);
    }
    let length = u16::try_from(bytes).map_err(|_| HandshakeError::Malformed)?.to_be_bytes();
    let [m0, m1, m2, m3] = MAGIC;
    Ok([m0, m1, m2, m3, VERSION, mode, length[0], length[1]])
}

/// Reads a preamble and the message it announces.
async fn read_preamble(
    read: &mut (dyn AsyncRead + Send + Unpin),
    expected_mode: u8,
) -> Result<([u8; PREAMBLE_BYTES], Vec<u8>), HandshakeError> {
    let mut preamble = [0; PREAMBLE_BYTES];
    read_exact(read, &mut preamble).await?;
    if preamble[..4] != MAGIC {
        return Err(HandshakeError::NotClusterluck);
    }
    let (version, mode, length) = (preamble[4], preamble[5], [preamble[6], preamble[7]]);
    // What follows is for that version or mode to say, its length included. It is read, not kept: to hang up on bytes
    // that nobody has read resets the connection, and the other end would never see what it is told.
    if version != VERSION {
        skip(read, length).await?;
        return Err(HandshakeError::Version { version, ours: VERSION });
    }
    if mode != expected_mode {
        skip(read, length).await?;
        return Err(HandshakeError::Mode { theirs: mode, ours: expected_mode });
    }
    let message = read_body(read, length).await?;
    Ok((preamble, message))
}

/// Passes over a message of this length, or what comes of it.
async fn skip(read: &mut (dyn AsyncRead + Send + Unpin), length: [u8; 2]) -> Result<(), HandshakeError> {
    let message = u64::from(u16::from_be_bytes(length));
    tokio::io::copy(&mut read.take(message), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Reads the acceptor's answer. An empty one is a refusal: the acceptor could not open the dialer's message.
async fn read_answer(
    read: &mut (dyn AsyncRead + Send + Unpin),
    expected_mode: u8,
) -> Result<Vec<u8>, HandshakeError> {
    let (_, message) = read_preamble(read, expected_mode).await?;
    if message.is_empty() { Err(HandshakeError::Authentication) } else { Ok(message) }
}

/// Tells a dialer that speaks this protocol, but in another version, in another mode or with another cookie, what
/// it has reached: the preamble alone. To others nothing is said.
async fn say_who_refuses(connection: &mut Connection, mode: u8, error: &HandshakeError) {
    if !matches!(
        error,
        HandshakeError::Version { .. } | HandshakeError::Mode { .. } | HandshakeError::Authentication
    ) {
        return;
    }
    if let Ok(notice) = preamble(mode, 0) {
        // One that has gone meanwhile need not know.
        let _gone = connection.write.write_all(&notice).await;
        let _closed = connection.write.shutdown().await;
    }
}

/// Writes a message after a preamble.
async fn write_message(
    write: &mut (dyn AsyncWrite + Send + Unpin),
    mode: u8,
    message: &[u8],
) -> Result<(), HandshakeError> {
    write.write_all(&[&preamble(mode, message.len())?[..], message].concat()).await?;
    write.flush().await?;
    Ok(())
}

async fn read_body(
    read: &mut (dyn AsyncRead + Send + Unpin),
    length: [u8; 2],
) -> Result<Vec<u8>, HandshakeError> {
    let bytes = usize::from(u16::from_be_bytes(length));
    if bytes > MESSAGE_BYTES_MAX {
        return Err(HandshakeError::Malformed);
    }
    let mut message = vec![0; bytes];
    read_exact(read, &mut message).await?;
    Ok(message)
}

/// Like tokio's, but an early end is its own error: a peer that hangs up says something by it.
async fn read_exact(
    read: &mut (dyn AsyncRead + Send + Unpin),
    buffer: &mut [u8],
) -> Result<(), HandshakeError> {
    match read.read_exact(buffer).await {
        Ok(_) => Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
            ) =>
        {
            Err(HandshakeError::Closed)
        }
        Err(error) => Err(HandshakeError::Io(error)),
    }
}
