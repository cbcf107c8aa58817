//! The writing half of a session: takes all that waits, seals it, writes it, and repeats.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::sync::futures::Notified;

use super::REST_AFTER;
use super::encoder::WriteError;
use super::outlet::{Outlet, SharedOutlet};
use crate::link::{Link, Take, count};
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
    shared: SharedOutlet,
    stall: Duration,
) -> WriterEnd {
    // Several messages waited last time.
    let mut crowded = false;
    loop {
        let mut outlet = shared.lock().await;
        let mut step = link.take(session, &mut outlet.batch, &shared);
        if matches!(step, Take::Nothing) {
            let work = link.work.notified();
            tokio::pin!(work);
            work.as_mut().enable();
            step = link.take(session, &mut outlet.batch, &shared);
            if matches!(step, Take::Nothing) {
                rest(&shared, outlet, work).await;
                if crowded || link.has_several_callers() {
                    // Tasks that are ready to run are likely to queue more: one turn for them costs less than a
                    // system call for each of their messages.
                    tokio::task::yield_now().await;
                }
                continue;
            }
        }
        crowded = outlet.batch.messages.len() > 1;
        let last = match append(&mut outlet, &link, step) {
            Ok(Some(last)) => last,
            Ok(None) => return WriterEnd::Gone,
            Err(_spent_key) => return WriterEnd::Lost,
        };
        match outlet.write(stall).await {
            Ok(None) => return WriterEnd::Stalled,
            Err(_broken) => return WriterEnd::Lost,
            Ok(Some(bytes)) => {
                count(&link.counters.bytes_sent, bytes);
                if bytes >= TURN_BYTES {
                    // Others have messages, too, that are to be taken before the rest of a large one.
                    tokio::task::yield_now().await;
                }
            }
        }
        if let Last::Goaway(goaway) = last {
            // A transport may wait for the peer here, as TLS does on a connection that is full.
            let _closed = tokio::time::timeout(stall, outlet.encoder.shutdown()).await;
            return WriterEnd::Goaway(goaway);
        }
    }
}

/// Waits for work, and leaves the outlet to others meanwhile.
async fn rest(shared: &SharedOutlet, outlet: MutexGuard<'_, Outlet>, mut work: Pin<&mut Notified<'_>>) {
    let roomy = outlet.encoder.is_roomy();
    drop(outlet);
    if roomy && tokio::time::timeout(REST_AFTER, work.as_mut()).await.is_ok() {
        return;
    }
    if roomy {
        shared.lock().await.encoder.rest();
    }
    work.await;
}

/// Whether anything follows what was appended.
enum Last {
    No,
    Goaway(Goaway),
}

/// Appends what was taken; `None` if the session is over.
fn append(outlet: &mut Outlet, link: &Link, step: Take) -> Result<Option<Last>, WriteError> {
    match step {
        Take::Mark(before) => {
            outlet.encoder.frame(Kind::Mark, Flags::default(), 0, None, &mark::encode(&before))?;
        }
        Take::Goaway(goaway) => {
            outlet.encoder.frame(Kind::Goaway, Flags::default(), 0, None, &hello::encode(&goaway))?;
            return Ok(Some(Last::Goaway(goaway)));
        }
        Take::Batch(now) => outlet.append(&link.counters, now)?,
        Take::Unwritten => {}
        Take::Nothing | Take::Gone => return Ok(None),
    }
    Ok(Some(Last::No))
}

/// A write of this size is worth a turn of all other tasks.
const TURN_BYTES: usize = 64 * 1_024;
