//! The default security: Noise `NNpsk0` keyed by the cookie, then AES-256-GCM records.
//!
//! ```text
//! dialer                                          acceptor
//!   preamble, psk, e, {hello}          ──────▶     wrong cookie fails here, before any state changes
//!                                      ◀──────     preamble, e, ee, {welcome}; or the preamble alone: refused
//!   record 0: FINISH                   ──────▶     keys confirmed
//!                                      ◀──────     record 0: READY or a refusal
//! ```
//!
//! Both ends prove that they hold the cookie, and each session has keys of its own that the cookie alone does not
//! give away later (forward secrecy). Source: T. Perrin, "The Noise Protocol Framework", revision 34, patterns
//! `NN` with `psk0`.
//!
//! The records' keys come from Noise's own split, each half taken through a labelled derivation. They are never
//! derived from the handshake hash, which does not contain the Diffie–Hellman secret, and the handshake state is
//! dropped without ever becoming a transport of its own.

use std::fmt;

use snow::{Builder, HandshakeState};
use tokio::io::AsyncWriteExt;
use zeroize::Zeroize;

use super::record::{DirectionKey, Opener, Sealer};
use super::secret::Secret;
use super::{
    Channel, Cookie, MESSAGE_BYTES_MAX, PREAMBLE_BYTES, Security, preamble, read_answer, read_preamble,
    say_who_refuses, write_message,
};
use crate::error::HandshakeError;
use crate::net::BoxFuture;
use crate::transport::Connection;

/// Mutual authentication, secrecy and forward secrecy from the cluster's cookie.
pub struct Noise {
    psk: Secret,
}

impl Noise {
    /// Security for the holders of this cookie.
    #[must_use]
    pub fn new(cookie: &Cookie) -> Self {
        Self { psk: Secret::derive("clusterluck netkernel v1 psk", cookie.secret()) }
    }

    fn builder<'a>(&'a self, prologue: &'a [u8]) -> Result<Builder<'a>, HandshakeError> {
        let pattern = PATTERN.parse().expect("the pattern is a valid Noise name");
        Builder::new(pattern)
            .psk(0, self.psk.bytes())
            .and_then(|builder| builder.prologue(prologue))
            .map_err(internal)
    }

    /// Reads a dialer's first message and opens it.
    async fn answer(&self, connection: &mut Connection) -> Result<(HandshakeState, Vec<u8>), HandshakeError> {
        let (preamble, first) = read_preamble(&mut connection.read, MODE).await?;
        let mut handshake = self.builder(&preamble)?.build_responder().map_err(internal)?;
        let hello = open(&mut handshake, &first)?;
        Ok((handshake, hello))
    }
}

impl fmt::Debug for Noise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Noise").finish_non_exhaustive()
    }
}

impl Security for Noise {
    fn client(
        &self,
        mut connection: Connection,
        hello: Vec<u8>,
    ) -> BoxFuture<'_, Result<(Channel, Vec<u8>), HandshakeError>> {
        Box::pin(async move {
            let preamble = preamble(MODE, hello.len() + FIRST_OVERHEAD_BYTES)?;
            let mut handshake = self.builder(&preamble)?.build_initiator().map_err(internal)?;
            let mut first = vec![0; PREAMBLE_BYTES + MESSAGE_BYTES_MAX];
            first[..PREAMBLE_BYTES].copy_from_slice(&preamble);
            let bytes = handshake.write_message(&hello, &mut first[PREAMBLE_BYTES..]).map_err(internal)?;
            connection.write.write_all(&first[..PREAMBLE_BYTES + bytes]).await?;
            connection.write.flush().await?;
            let second = read_answer(&mut connection.read, MODE).await?;
            let welcome = open(&mut handshake, &second)?;
            Ok((channel(connection, handshake), welcome))
        })
    }

    fn server<'a>(
        &'a self,
        mut connection: Connection,
        welcome: Vec<u8>,
        authentic: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, Result<(Channel, Vec<u8>), HandshakeError>> {
        Box::pin(async move {
            let (mut handshake, hello) = match self.answer(&mut connection).await {
                Ok(answered) => answered,
                Err(error) => {
                    say_who_refuses(&mut connection, MODE, &error).await;
                    return Err(error);
                }
            };
            authentic();
            let mut second = vec![0; MESSAGE_BYTES_MAX];
            let bytes = handshake.write_message(&welcome, &mut second).map_err(internal)?;
            write_message(&mut connection.write, MODE, &second[..bytes]).await?;
            Ok((channel(connection, handshake), hello))
        })
    }
}

/// Opens a handshake message; failure means another cookie, or tampering.
fn open(handshake: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let mut payload = vec![0; MESSAGE_BYTES_MAX];
    let bytes = handshake.read_message(message, &mut payload).map_err(|_| HandshakeError::Authentication)?;
    payload.truncate(bytes);
    Ok(payload)
}

/// Takes the two directions' keys out of a finished handshake, which ends here.
fn channel(connection: Connection, mut handshake: HandshakeState) -> Channel {
    assert!(handshake.is_handshake_finished(), "keys are taken only from a finished handshake");
    // Not taken apart, which would copy them.
    let mut halves = handshake.dangerously_get_raw_split();
    let to_acceptor = DirectionKey::derive("clusterluck netkernel v1 dialer to acceptor", &halves.0);
    let to_dialer = DirectionKey::derive("clusterluck netkernel v1 acceptor to dialer", &halves.1);
    halves.0.zeroize();
    halves.1.zeroize();
    let (sealing, opening) =
        if handshake.is_initiator() { (to_acceptor, to_dialer) } else { (to_dialer, to_acceptor) };
    Channel::new(connection, Box::new(Sealer::new(sealing)), Box::new(Opener::new(opening)))
}

/// What snow reports other than a failed authentication is a message over its limits.
fn internal(_error: snow::Error) -> HandshakeError {
    HandshakeError::Malformed
}

const PATTERN: &str = "Noise_NNpsk0_25519_AESGCM_SHA256";
const MODE: u8 = 1;
/// What Noise adds to the first payload: an ephemeral key and a tag.
const FIRST_OVERHEAD_BYTES: usize = 32 + 16;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncRead, AsyncWrite};

    use super::*;
    use crate::golden::{self, assert_bytes};
    use crate::node::{Address, Role};
    use crate::proto::hello;

    /// A channel whose connection is of no use: only its keys are.
    fn keys(handshake: HandshakeState) -> Channel {
        let read: Box<dyn AsyncRead + Send + Unpin> = Box::new(tokio::io::empty());
        let write: Box<dyn AsyncWrite + Send + Unpin> = Box::new(tokio::io::sink());
        channel(Connection { read, write, remote: Address::new("golden", 1).unwrap() }, handshake)
    }

    fn record(channel: &mut Channel, plain: &[u8]) -> Vec<u8> {
        let header = u16::try_from(plain.len() + channel.seal.overhead_bytes()).unwrap().to_be_bytes();
        let mut record = [&header[..], plain].concat();
        channel.seal.seal(header, &mut record, 2).unwrap();
        record
    }

    /// A handshake of fixed ephemeral keys, byte by byte, and the first records of both directions.
    #[test]
    fn golden_bytes_of_a_handshake_and_its_records() {
        let cookie: Cookie = "5a".repeat(32).parse().unwrap();
        let noise = Noise::new(&cookie);
        let hello = hello::encode(&golden::hello("a", Role::Client, 4));
        let welcome = hello::encode(&golden::welcome());
        let prologue = preamble(MODE, hello.len() + FIRST_OVERHEAD_BYTES).unwrap();
        let builder = |key| noise.builder(&prologue).unwrap().fixed_ephemeral_key_for_testing_only(key);
        let mut dialer = builder(&[0x11; 32]).build_initiator().unwrap();
        let mut acceptor = builder(&[0x22; 32]).build_responder().unwrap();

        let mut message = [0; MESSAGE_BYTES_MAX];
        let bytes = dialer.write_message(&hello, &mut message).unwrap();
        assert_bytes("message 1", &[&prologue[..], &message[..bytes]].concat());
        assert_eq!(open(&mut acceptor, &message[..bytes]).unwrap(), hello);
        let bytes = acceptor.write_message(&welcome, &mut message).unwrap();
        assert_bytes("message 2", &[&preamble(MODE, bytes).unwrap()[..], &message[..bytes]].concat());
        assert_eq!(open(&mut dialer, &message[..bytes]).unwrap(), welcome);

        let (mut dialer, mut acceptor) = (keys(dialer), keys(acceptor));
        assert_bytes("record 0 of the dialer", &record(&mut dialer, b"first of the dialer"));
        assert_bytes("record 1 of the dialer", &record(&mut dialer, b"second of the dialer"));
        assert_bytes("record 0 of the acceptor", &record(&mut acceptor, b"first of the acceptor"));
    }

    #[test]
    fn golden_bytes_of_a_refusal() {
        assert_bytes("refusal of a handshake", &preamble(MODE, 0).unwrap());
    }
}
