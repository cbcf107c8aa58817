//! The writing half of a session: takes all that waits, seals it, writes it, and repeats.

use std::sync::Arc;
use std::time::Duration;

use super::encoder::{Encoder, WriteError};
use crate::call::CallId;
use crate::error::Refusal;
use crate::link::{Link, Piece, Take, count};
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
    let mut pieces = Vec::new();
    loop {
        let work = link.work.notified();
        tokio::pin!(work);
        work.as_mut().enable();
        let last = match link.take(session, &mut pieces) {
            Take::Nothing => {
                work.await;
                continue;
            }
            Take::Gone => return WriterEnd::Gone,
            step => match append(&mut encoder, &link, step, &mut pieces) {
                Ok(last) => last,
                Err(_spent_key) => return WriterEnd::Lost,
            },
        };
        match tokio::time::timeout(stall, encoder.flush()).await {
            Err(_elapsed) => return WriterEnd::Stalled,
            Ok(Err(_broken)) => return WriterEnd::Lost,
            Ok(Ok(bytes)) => count(&link.counters.bytes_sent, bytes),
        }
        if let Some(goaway) = last {
            encoder.shutdown().await;
            return WriterEnd::Goaway(goaway);
        }
    }
}

/// Appends what was taken; gives the GOAWAY if that was the last.
fn append(
    encoder: &mut Encoder,
    link: &Link,
    step: Take,
    pieces: &mut Vec<Piece>,
) -> Result<Option<Goaway>, WriteError> {
    match step {
        Take::Mark(before) => {
            encoder.frame(Kind::Mark, Flags::default(), 0, None, &mark::encode(&before))?;
        }
        Take::Goaway(goaway) => {
            encoder.frame(Kind::Goaway, Flags::default(), 0, None, &hello::encode(&goaway))?;
            return Ok(Some(goaway));
        }
        _ => {
            for piece in pieces.drain(..) {
                let interned = encoder.piece(&piece)?;
                if interned {
                    count(&link.counters.messages_sent, usize::from(piece.head.is_some()));
                } else {
                    refuse(link, &piece);
                }
            }
        }
    }
    Ok(None)
}

/// A message whose server cannot be named any more on this session.
fn refuse(link: &Link, piece: &Piece) {
    count(&link.counters.messages_dropped, 1);
    if piece.kind == Kind::Call {
        link.replied(CallId(piece.id), Err(Refusal::Overloaded));
    }
}
