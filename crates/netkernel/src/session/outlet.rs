//! What a session writes by. Its writer holds it while there is much to do; while the writer rests, whoever has one
//! small message writes it at once, on a task that is awake already.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::encoder::{Encoder, WriteError};
use crate::link::{Batch, Counters, count};
use crate::proto::frame::Kind;

/// One session's outlet, for its writer and its link.
pub(crate) type SharedOutlet = Arc<Mutex<Outlet>>;

/// The writing half of a session's connection, and what is being written.
pub(crate) struct Outlet {
    pub(super) encoder: Encoder,
    pub(crate) batch: Batch,
}

impl Outlet {
    pub(super) fn shared(encoder: Encoder) -> SharedOutlet {
        Arc::new(Mutex::new(Self { encoder, batch: Batch::default() }))
    }

    /// Appends what was taken at this time.
    pub(super) fn append(&mut self, counters: &Counters, now: Instant) -> Result<(), WriteError> {
        let Self { encoder, batch } = self;
        let begun = batch.messages.len()
            + batch.control.iter().filter(|piece| piece.kind == Kind::Cast).count()
            + batch.bulk.iter().filter(|piece| piece.head.is_some()).count();
        if !batch.bulk.is_empty() {
            encoder.lead();
        }
        for piece in batch.control.drain(..) {
            encoder.piece(&piece)?;
        }
        for message in batch.messages.drain(..) {
            encoder.message(&message, now)?;
        }
        for piece in batch.bulk.drain(..).chain(batch.milestone.take()) {
            encoder.piece(&piece)?;
        }
        count(&counters.messages_sent, begun);
        Ok(())
    }

    /// Writes what was taken at this time, as far as the connection takes it at once. False if the writer has to see
    /// to the rest, or to the end of the connection.
    pub(crate) fn write_now(&mut self, counters: &Counters, now: Instant) -> bool {
        let written = self.append(counters, now).and_then(|()| self.encoder.write_now());
        let Ok(bytes) = written else { return false };
        count(&counters.bytes_sent, bytes);
        self.encoder.is_written()
    }

    /// Writes all that was appended, and says how many bytes that were; `None` if the connection took nothing for so
    /// long.
    pub(super) async fn write(&mut self, stall: Duration) -> Result<Option<usize>, WriteError> {
        let mut bytes = self.encoder.write_now()?;
        while !self.encoder.is_written() {
            // Each write by itself: a connection that takes little at a time is slow, not stalled.
            match tokio::time::timeout(stall, self.encoder.write_some()).await {
                Ok(written) => bytes += written?,
                Err(_elapsed) => return Ok(None),
            }
        }
        Ok(Some(bytes))
    }
}
