//! No security at all.

use tokio::io::AsyncWriteExt;

use super::{
    Channel, Open, RecordError, Seal, Security, preamble, read_answer, read_preamble, say_who_refuses,
    write_message,
};
use crate::error::HandshakeError;
use crate::net::BoxFuture;
use crate::transport::Connection;

/// Plain text and no authentication: anyone who reaches the port is a member. For benchmarks and for networks
/// that something else secures.
#[derive(Debug, Clone, Copy, Default)]
pub struct Insecure;

impl Security for Insecure {
    fn client(
        &self,
        mut connection: Connection,
        hello: Vec<u8>,
    ) -> BoxFuture<'_, Result<(Channel, Vec<u8>), HandshakeError>> {
        Box::pin(async move {
            let preamble = preamble(MODE, hello.len())?;
            connection.write.write_all(&[&preamble[..], &hello].concat()).await?;
            connection.write.flush().await?;
            let welcome = read_answer(&mut connection.read, MODE).await?;
            Ok((Channel::new(connection, Box::new(Plain), Box::new(Plain)), welcome))
        })
    }

    fn server<'a>(
        &'a self,
        mut connection: Connection,
        welcome: Vec<u8>,
        authentic: &'a (dyn Fn() + Send + Sync),
    ) -> BoxFuture<'a, Result<(Channel, Vec<u8>), HandshakeError>> {
        Box::pin(async move {
            let hello = match read_preamble(&mut connection.read, MODE).await {
                Ok((_, hello)) => hello,
                Err(error) => {
                    say_who_refuses(&mut connection, MODE, &error).await;
                    return Err(error);
                }
            };
            authentic();
            write_message(&mut connection.write, MODE, &welcome).await?;
            Ok((Channel::new(connection, Box::new(Plain), Box::new(Plain)), hello))
        })
    }
}

struct Plain;

impl Seal for Plain {
    fn overhead_bytes(&self) -> usize {
        0
    }

    fn seal(&mut self, _header: [u8; 2], _record: &mut Vec<u8>, _start: usize) -> Result<(), RecordError> {
        Ok(())
    }
}

impl Open for Plain {
    fn overhead_bytes(&self) -> usize {
        0
    }

    fn open(&mut self, _header: [u8; 2], record: &mut [u8]) -> Result<usize, RecordError> {
        Ok(record.len())
    }
}

const MODE: u8 = 0;
