//! The writing half of a session: takes all that waits, seals it, writes it, and repeats.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::REST_AFTER;
use super::encoder::{Encoder, WriteError};
use crate::link::{Batch, Link, Take, count};
use crate::proto::frame::{Flags, Kind};
use crate::proto::hello::{self, Goaway, SessionId};
use crate::proto::mark;

/// How a writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriterEnd {
    /// It has sent this GOAWAY.
    Goaway(Goaway),
    /// The session was over already.
    Gone,
    /// The connection broke.
    Lost,
    /// The peer took nothing for too long.
    Stalled,
}

pub(super) async fn run(
    link: Arc<Link>,
    session: SessionId,
    mut encoder: Encoder,
    stall: Duration,
) -> WriterEnd {
    let mut batch = Batch::default();
    // Several messages waited last time.
    let mut crowded = false;
    loop {
        let mut step = link.take(session, &mut batch);
        if matches!(step, Take::Nothing) {
            let work = link.work.notified();
            tokio::pin!(work);
            work.as_mut().enable();
            step = link.take(session, &mut batch);
            if matches!(step, Take::Nothing) {
                if !encoder.is_roomy() {
                    work.await;
                } else if tokio::time::timeout(REST_AFTER, work.as_mut()).await.is_err() {
                    encoder.rest();
                    work.await;
                }
                if crowded || link.has_several_callers() {
                    // Tasks that are ready to run are likely to queue more: one turn for them costs less than a
                    // system call for each of their messages.
                    tokio::task::yield_now().await;
                }
                continue;
            }
        }
        crowded = batch.messages.len() > 1;
        let last = match append(&mut encoder, &link, step, &mut batch) {
            Ok(Some(last)) => last,
            Ok(None) => return WriterEnd::Gone,
            Err(_spent_key) => return WriterEnd::Lost,
        };
        match tokio::time::timeout(stall, encoder.flush()).await {
            Err(_elapsed) => return WriterEnd::Stalled,
            Ok(Err(_broken)) => return WriterEnd::Lost,
            Ok(Ok(bytes)) => {
                count(&link.counters.bytes_sent, bytes);
                if bytes >= TURN_BYTES {
                    // Others have messages, too, that are to be taken before the rest of a large one.
                    tokio::task::yield_now().await;
                }
            }
        }
        if let Last::Goaway(goaway) = last {
            encoder.shutdown().await;
            return WriterEnd::Goaway(goaway);
        }
    }
}

/// Whether anything follows what was appended.
enum Last {
    No,
    Goaway(Goaway),
}

/// Appends what was taken; `None` if the session is over.
fn append(
    encoder: &mut Encoder,
    link: &Link,
    step: Take,
    batch: &mut Batch,
) -> Result<Option<Last>, WriteError> {
    match step {
        Take::Mark(before) => {
            encoder.frame(Kind::Mark, Flags::default(), 0, None, &mark::encode(&before))?;
        }
        Take::Goaway(goaway) => {
            encoder.frame(Kind::Goaway, Flags::default(), 0, None, &hello::encode(&goaway))?;
            return Ok(Some(Last::Goaway(goaway)));
        }
        Take::Batch => {
            let begun = batch.messages.len()
                + batch.control.iter().filter(|piece| piece.kind == Kind::Cast).count()
                + batch.bulk.iter().filter(|piece| piece.head.is_some()).count();
            let now = Instant::now();
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
            count(&link.counters.messages_sent, begun);
        }
        Take::Nothing | Take::Gone => return Ok(None),
    }
    Ok(Some(Last::No))
}

/// A write of this size is worth a turn of all other tasks.
const TURN_BYTES: usize = 64 * 1_024;
