//! A session while it lives: a reader, a writer, and what watches over all of them.

mod encoder;
mod outlet;
mod reader;
mod records;
mod watch;
mod writer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument;

pub(crate) use encoder::Encoder;
pub(crate) use outlet::{Outlet, SharedOutlet};
pub(crate) use reader::Activate;
pub(crate) use records::RecordReader;
pub(crate) use watch::Watch;

use self::reader::{Reader, ReaderEnd};
use self::records::Heard;
use self::watch::{One, Watching};
use self::writer::WriterEnd;
use crate::config::Limits;
use crate::link::{Ended, Link, SessionHandle};
use crate::net::{Dispatch, DownReason};
use crate::proto::hello::Goaway;
use crate::proto::silence::Silence;

/// A session whose ends have proven themselves to each other.
pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    pub(crate) handle: SessionHandle,
    pub(crate) records: RecordReader,
    pub(crate) encoder: Encoder,
    pub(crate) activate: Option<Activate>,
    /// Tells the layers above of what was lost; called now and then.
    pub(crate) report: Box<dyn Fn() + Send + Sync>,
    pub(crate) dispatch: Arc<dyn Dispatch>,
    pub(crate) limits: Limits,
    /// Ends the session when the peer is silent for too long.
    pub(crate) watch: Arc<Watch>,
}

/// A session whose tasks run.
pub(crate) struct Running {
    pub(crate) link: Arc<Link>,
    handle: SessionHandle,
    reader: AbortOnDropHandle<ReaderEnd>,
    writer: AbortOnDropHandle<WriterEnd>,
    write_stall: Duration,
    heard: Arc<Heard>,
    _watching: Watching,
}

/// How a session's life went.
pub(crate) struct Outcome {
    pub(crate) ended: Ended,
    pub(crate) reason: DownReason,
    /// It broke after it had been made, or its peer did not answer its GOAWAY.
    pub(crate) broke: bool,
}

/// Starts what reads, writes and watches over a session.
pub(crate) fn begin(session: Session, tasks: &TaskTracker) -> Running {
    let Session { link, handle, records, encoder, activate, report, dispatch, limits, watch } = session;
    let write_stall = limits.write_stall;
    let heard = Arc::clone(&records.heard);
    let _watching = watch.over(One {
        link: Arc::clone(&link),
        session: handle.id,
        heard: Arc::clone(&heard),
        kill: handle.kill.clone(),
        report,
        silence: Mutex::new(Silence::default()),
    });
    let reader = Reader::new(Arc::clone(&link), handle.clone(), dispatch, activate, Arc::clone(&heard));
    let writer = writer::run(Arc::clone(&link), handle.id, Outlet::shared(encoder), write_stall);
    let reader = AbortOnDropHandle::new(tasks.spawn(reader.run(records).in_current_span()));
    let writer = AbortOnDropHandle::new(tasks.spawn(writer.in_current_span()));
    Running { link, handle, reader, writer, write_stall, heard, _watching }
}

impl Running {
    /// Waits for the session's end and says how it ended.
    pub(crate) async fn ended(&mut self) -> Outcome {
        let Self { link, handle, reader, writer, write_stall, heard, .. } = self;
        let end = tokio::select! {
            ends = both_ends(reader, writer, (heard, *write_stall)) => End::of(ends),
            reason = handle.kill.asked() => End::broken(reason),
        };
        // Nothing may touch the link on behalf of this session once its end is known.
        stop(reader).await;
        stop(writer).await;
        let (ended, broke) = link.ended(handle.id, end.good.ok_or(end.reason));
        Outcome { ended, reason: end.reason, broke }
    }
}

/// How a session ended.
struct End {
    /// Both ends have said their GOAWAY; and whether the peer promised another.
    good: Option<bool>,
    reason: DownReason,
}

impl End {
    fn broken(reason: DownReason) -> Self {
        Self { good: None, reason }
    }

    fn of((reader, writer): (ReaderEnd, WriterEnd)) -> Self {
        use Goaway::{Closing, Superseded};
        let good = |promised, reason| Self { good: Some(promised), reason };
        match (reader, writer) {
            (ReaderEnd::Goaway(_), WriterEnd::Goaway(Closing)) => good(false, DownReason::Disconnected),
            (ReaderEnd::Goaway(Closing), WriterEnd::Goaway(Superseded)) => good(false, DownReason::Closed),
            (ReaderEnd::Goaway(Superseded), WriterEnd::Goaway(Superseded)) => {
                good(true, DownReason::LinkLost)
            }
            // It may not have read what it was sent, nor know that the link is closed.
            (ReaderEnd::Lost, WriterEnd::Goaway(Closing)) => Self::broken(DownReason::Disconnected),
            (ReaderEnd::Protocol, _) => Self::broken(DownReason::Protocol),
            (_, WriterEnd::Stalled) => Self::broken(DownReason::Stalled),
            _ => Self::broken(DownReason::LinkLost),
        }
    }
}

/// Waits for both halves. One that ends by its GOAWAY leaves the other time to end: for as long as it gets on with what
/// was sent before. One that breaks does not.
async fn both_ends(
    reader: &mut AbortOnDropHandle<ReaderEnd>,
    writer: &mut AbortOnDropHandle<WriterEnd>,
    (heard, patience): (&Heard, Duration),
) -> (ReaderEnd, WriterEnd) {
    tokio::select! {
        end = &mut *reader => match read(end) {
            // A writer ends by itself where the connection takes nothing for so long.
            theirs @ ReaderEnd::Goaway(_) => (theirs, written(writer.await)),
            broken => (broken, WriterEnd::Gone),
        },
        end = &mut *writer => match written(end) {
            ours @ WriterEnd::Goaway(_) => (answer(reader, heard, patience).await, ours),
            broken => (ReaderEnd::Lost, broken),
        },
    }
}

/// Waits for the peer's GOAWAY, until nothing was heard of it for so long.
async fn answer(reader: &mut AbortOnDropHandle<ReaderEnd>, heard: &Heard, patience: Duration) -> ReaderEnd {
    let begun = Instant::now();
    loop {
        let left = patience.saturating_sub(heard.silent_since(begun));
        if left.is_zero() {
            return ReaderEnd::Lost;
        }
        if let Ok(end) = tokio::time::timeout(left, &mut *reader).await {
            return read(end);
        }
    }
}

fn read(end: Result<ReaderEnd, JoinError>) -> ReaderEnd {
    end.unwrap_or_else(|error| {
        if error.is_panic() {
            tracing::error!("session closed: the layer above panicked at what arrived");
        }
        ReaderEnd::Lost
    })
}

fn written(end: Result<WriterEnd, JoinError>) -> WriterEnd {
    end.unwrap_or(WriterEnd::Lost)
}

async fn stop<T>(task: &mut AbortOnDropHandle<T>) {
    task.abort();
    if !task.is_finished() {
        let _ended = task.await;
    }
}

/// A session that has had nothing to do for so long gives the room of its buffers back: rarely enough that busy ones
/// keep theirs.
const REST_AFTER: Duration = Duration::from_secs(1);
