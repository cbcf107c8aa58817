//! A session while it lives: a reader, a writer, and what watches over both.

mod encoder;
mod outlet;
mod reader;
mod records;
mod violations;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument;

use self::records::Heard;
pub(crate) use encoder::Encoder;
pub(crate) use outlet::{Outlet, SharedOutlet};
pub(crate) use reader::Activate;
pub(crate) use records::RecordReader;
pub(crate) use violations::Violations;

use self::reader::{Reader, ReaderEnd};
use self::writer::WriterEnd;
use crate::call::deadline_after;
use crate::config::Limits;
use crate::link::{Ended, Link, SessionHandle};
use crate::net::{Dispatch, DownReason};
use crate::proto::hello::{Goaway, SessionId};

/// A session whose ends have proven themselves to each other.
pub(crate) struct Session {
    pub(crate) link: Arc<Link>,
    pub(crate) handle: SessionHandle,
    pub(crate) records: RecordReader,
    pub(crate) encoder: Encoder,
    pub(crate) activate: Activate,
    /// Tells the layers above of what was lost; called now and then.
    pub(crate) report: Box<dyn Fn() + Send + Sync>,
    pub(crate) violations: Arc<Violations>,
    pub(crate) dispatch: Arc<dyn Dispatch>,
    pub(crate) limits: Limits,
    /// When the kernel began: all its sessions look for silence at the same beats.
    pub(crate) epoch: Instant,
}

/// Runs a session to its end and says why it ended, and whether another was promised in its place.
pub(crate) async fn run(session: Session, tasks: &TaskTracker) -> (Ended, DownReason) {
    let Session { link, handle, records, encoder, activate, report, violations, dispatch, limits, epoch } =
        session;
    let heard = Arc::clone(&records.heard);
    let told = (Arc::clone(&heard), violations);
    let reader = Reader::new(Arc::clone(&link), handle.clone(), dispatch, activate, told);
    let writer = writer::run(Arc::clone(&link), handle.id, Outlet::shared(encoder), limits.write_stall);
    let mut reader = AbortOnDropHandle::new(tasks.spawn(reader.run(records).in_current_span()));
    let mut writer = AbortOnDropHandle::new(tasks.spawn(writer.in_current_span()));
    let end = tokio::select! {
        ends = both_ends(&mut reader, &mut writer, limits.write_stall) => End::of(ends),
        reason = handle.kill.asked() => End::broken(reason),
        reason = silence(&link, handle.id, &heard, &limits, (epoch, &*report)) => End::broken(reason),
    };
    // Nothing may touch the link on behalf of this session once its end is known.
    stop(&mut reader).await;
    stop(&mut writer).await;
    (link.ended(handle.id, end.clean, end.promised), end.reason)
}

/// How a session ended.
struct End {
    clean: bool,
    promised: bool,
    reason: DownReason,
}

impl End {
    fn broken(reason: DownReason) -> Self {
        Self { clean: false, promised: false, reason }
    }

    fn of((reader, writer): (ReaderEnd, WriterEnd)) -> Self {
        use Goaway::{Closing, Superseded};
        let clean = |promised, reason| Self { clean: true, promised, reason };
        match (reader, writer) {
            // A peer that hangs up instead of answering has no more to say either, when we are leaving anyway.
            (ReaderEnd::Goaway(_) | ReaderEnd::Lost, WriterEnd::Goaway(Closing)) => {
                clean(false, DownReason::Disconnected)
            }
            (ReaderEnd::Goaway(Closing), WriterEnd::Goaway(Superseded)) => clean(false, DownReason::Closed),
            (ReaderEnd::Goaway(Superseded), WriterEnd::Goaway(Superseded)) => {
                clean(true, DownReason::LinkLost)
            }
            (ReaderEnd::Protocol, _) => Self::broken(DownReason::Protocol),
            (_, WriterEnd::Stalled) => Self::broken(DownReason::Stalled),
            _ => Self::broken(DownReason::LinkLost),
        }
    }
}

/// Waits for both halves. One that ends by its GOAWAY leaves the other time to answer; one that breaks does not.
async fn both_ends(
    reader: &mut AbortOnDropHandle<ReaderEnd>,
    writer: &mut AbortOnDropHandle<WriterEnd>,
    patience: Duration,
) -> (ReaderEnd, WriterEnd) {
    let read = |end: Result<ReaderEnd, JoinError>| {
        end.unwrap_or_else(|error| {
            if error.is_panic() {
                tracing::error!("session closed: the layer above panicked at what arrived");
            }
            ReaderEnd::Lost
        })
    };
    let written = |end: Result<WriterEnd, JoinError>| end.unwrap_or(WriterEnd::Lost);
    tokio::select! {
        end = &mut *reader => match read(end) {
            theirs @ ReaderEnd::Goaway(_) => {
                let ours = tokio::time::timeout(patience, writer).await;
                (theirs, ours.map_or(WriterEnd::Stalled, written))
            }
            broken => (broken, WriterEnd::Gone),
        },
        end = &mut *writer => match written(end) {
            ours @ WriterEnd::Goaway(_) => {
                let theirs = tokio::time::timeout(patience, reader).await;
                (theirs.map_or(ReaderEnd::Lost, read), ours)
            }
            broken => (ReaderEnd::Lost, broken),
        },
    }
}

/// Completes when the session is dead: the peer has been silent for so long, and left a PING unanswered; or, alive as
/// it is, it does not read what it is sent.
async fn silence(
    link: &Link,
    session: SessionId,
    heard: &Heard,
    limits: &Limits,
    (epoch, report): (Instant, &(dyn Fn() + Send + Sync)),
) -> DownReason {
    loop {
        report();
        let held_up = link.held_up(session);
        if held_up >= limits.write_stall {
            return DownReason::Stalled;
        }
        let busy = link.awaits_replies() || !held_up.is_zero();
        let patience = if busy { limits.heartbeat_busy } else { limits.heartbeat_idle };
        // One that waits for another session is not read; that one is watched over itself.
        let silence = if heard.is_held() { Duration::ZERO } else { heard.silence() };
        if silence < patience {
            let wait = (patience - silence).min(limits.heartbeat_busy);
            // Each at a time of its own, the idle sessions of a large mesh would not let the process sleep.
            let beat = limits.heartbeat_busy.min(limits.heartbeat_idle) / 2;
            tokio::time::sleep_until(next_beat(epoch, deadline_after(wait), beat)).await;
            // One that is never silent is asked now and then, too: the answers tell how far the peer is. One that is silent
            // is not, for it may hear us without being heard, and would take us for alive so much longer.
            let heard_of_late = heard.silence() < limits.heartbeat_busy;
            if heard_of_late && link.heartbeat_due(session, limits.heartbeat_idle) {
                link.heartbeat();
            }
            continue;
        }
        // Counted, not timed: the answer may come within the very tick of the clock in which the question was put.
        let before = heard.times();
        link.heartbeat();
        // The peer answers after it has read what is under way. How long that may take is not a matter of heartbeats.
        let behind_bulk = link.is_behind_bulk(session);
        let answer = if behind_bulk { limits.write_stall } else { Duration::ZERO };
        tokio::select! {
            () = stalled(link, session, limits.write_stall) => return DownReason::Stalled,
            () = tokio::time::sleep(answer.max(limits.heartbeat_timeout)) => {}
        }
        if heard.times() == before && !heard.is_held() {
            return DownReason::Silent;
        }
    }
}

/// Completes when the peer has left bulk unread for so long.
async fn stalled(link: &Link, session: SessionId, stall: Duration) {
    loop {
        let held_up = link.held_up(session);
        if held_up >= stall {
            return;
        }
        tokio::time::sleep(stall - held_up).await;
    }
}

/// The first beat that is not before `at`.
fn next_beat(epoch: Instant, at: Instant, beat: Duration) -> Instant {
    let into_beat_ns = at.saturating_duration_since(epoch).as_nanos().checked_rem(beat.as_nanos());
    match into_beat_ns {
        None | Some(0) => at,
        Some(ns) => {
            let into_beat = Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX));
            at.checked_add(beat.saturating_sub(into_beat)).unwrap_or(at)
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sessions_look_for_silence_at_the_same_beats() {
        let epoch = Instant::now();
        let beat = Duration::from_millis(500);
        let beat_after = |ms| next_beat(epoch, epoch + Duration::from_millis(ms), beat) - epoch;
        assert_eq!([0, 1, 499, 500, 501].map(|ms| beat_after(ms).as_millis()), [0, 500, 500, 500, 1_000]);
        let at = epoch + Duration::from_millis(7);
        assert_eq!(next_beat(epoch, at, Duration::ZERO), at, "a heartbeat of no time has no beats");
        let decades = deadline_after(Duration::MAX);
        assert_eq!(next_beat(epoch, decades, Duration::MAX), decades, "a beat the clock does not reach");
        assert_eq!(next_beat(at, epoch, beat), epoch, "the kernel began before its sessions");
    }
}
