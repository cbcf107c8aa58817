//! The reading half of a session: opens records, decodes frames without copying their bodies, and hands each
//! message on without waiting for whoever it is for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::time::Instant;

use super::records::{Heard, ReadError, RecordReader};
use crate::call::{CallId, Responder};
use crate::link::{Arriving, Begun, Control, HEARTBEAT, Link, SessionHandle, Verdict, count};
use crate::net::Dispatch;
use crate::node::{Role, ServerName};
use crate::proto::credit::{Grant, Load};
use crate::proto::due::Due;
use crate::proto::frame::{self, Flags, Frame, FrameError, Head, Kind};
use crate::proto::hello::{self, Goaway};
use crate::proto::interning::{DefineError, Defined};
use crate::proto::mark;
use crate::proto::pace;
use crate::proto::reassembly::{PartialKey, ReassemblyError};

/// How a reader ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReaderEnd {
    /// The peer sends nothing more by this session.
    Goaway(Goaway),
    /// The connection ended or broke.
    Lost,
    /// The peer broke the protocol, or a record was forged.
    Protocol,
}

/// What makes a session take over once the peer has shown that it knows the session is made.
pub(crate) type Activate = Box<dyn FnOnce() + Send>;

pub(super) struct Reader {
    link: Arc<Link>,
    handle: SessionHandle,
    dispatch: Arc<dyn Dispatch>,
    activate: Option<Activate>,
    heard: Arc<Heard>,
    defined: Defined,
    /// What mailboxes here have taken, to be told to the peer.
    due: Due,
    /// How long to wait before full mailboxes are offered their casts again, and until when.
    patience: Duration,
    offer_at: Option<Instant>,
    /// How often since then a mailbox said that it may have room, and none had any.
    false_rings: u32,
    gathered: Gathered,
    /// A call has begun by the record that is acted on.
    calls_begun: bool,
    /// When that record was read.
    arrived: Instant,
}

/// Casts for one server that followed each other in a record, to be handed over together.
#[derive(Default)]
struct Gathered {
    /// None while there are none.
    destination: Option<u64>,
    server: Option<ServerName>,
    bodies: Vec<Bytes>,
}

/// Why a session cannot go on.
#[derive(Debug, Error)]
enum Violation {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Define(#[from] DefineError),
    #[error(transparent)]
    Reassembly(#[from] ReassemblyError),
    #[error("a malformed control frame")]
    Control,
    #[error("a message for a server that was never named")]
    UnknownServer,
    #[error("a call under the number of one that is being executed")]
    CallTwice,
}

impl Reader {
    pub(super) fn new(
        link: Arc<Link>,
        handle: SessionHandle,
        dispatch: Arc<dyn Dispatch>,
        activate: Option<Activate>,
        heard: Arc<Heard>,
    ) -> Self {
        Self {
            link,
            handle,
            dispatch,
            activate,
            heard,
            defined: Defined::default(),
            due: Due::default(),
            patience: OFFER_FIRST,
            offer_at: None,
            false_rings: 0,
            gathered: Gathered::default(),
            calls_begun: false,
            arrived: Instant::now(),
        }
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` keeps room twice for what it is given")]
    pub(super) fn run(mut self, mut records: RecordReader) -> impl Future<Output = ReaderEnd> + Send {
        async move {
            let end = self.read(&mut records).await;
            for grant in self.due.rest() {
                self.link.control(Control::Credit(grant));
            }
            self.handle.drained.cancel();
            end
        }
    }

    async fn read(&mut self, records: &mut RecordReader) -> ReaderEnd {
        if self.handle.kill.is_asked() {
            // It was given up as it was to take over, and its messages are nobody's.
            return ReaderEnd::Lost;
        }
        loop {
            let next = if self.link.holds_casts() || self.due.keeps_back() {
                let patience = self.patience;
                // However much more is read meanwhile.
                let offer_at = *self.offer_at.get_or_insert_with(|| Instant::now() + patience);
                tokio::select! {
                    biased;
                    // To one that says so without end this task would listen for ever.
                    () = self.link.mailbox_room(), if self.false_rings < FALSE_RINGS_MAX => {
                        self.false_rings = if self.offer_again() { 0 } else { self.false_rings + 1 };
                        continue;
                    }
                    () = tokio::time::sleep_until(offer_at) => {
                        self.offer_again();
                        self.false_rings = 0;
                        continue;
                    }
                    next = records.next() => next,
                }
            } else {
                self.offer_at = None;
                records.next().await
            };
            let (mut record, bytes) = match next {
                Ok(record) => record,
                Err(ReadError::Ended | ReadError::Io(_)) => return ReaderEnd::Lost,
                Err(error @ ReadError::Record(_)) => return self.violation(&error),
            };
            self.arrived = records.read_at;
            count(&self.link.counters.bytes_received, bytes);
            if let Some(activate) = self.activate.take() {
                // It would be given up; so it is the first of the next link.
                self.link.end_is_told().await;
                activate();
                if self.handle.kill.is_asked() {
                    return ReaderEnd::Lost;
                }
            }
            match self.record(&mut record).await {
                Ok(None) => {
                    if self.give_credit() {
                        self.link.credit_room().await;
                    }
                }
                Ok(Some(goaway)) => return ReaderEnd::Goaway(goaway),
                Err(violation) => return self.violation(&violation),
            }
        }
    }

    /// Acts on a record; gives the GOAWAY if that was the last.
    async fn record(&mut self, record: &mut Bytes) -> Result<Option<Goaway>, Violation> {
        let end = self.frames(record).await;
        self.send_reply();
        end
    }

    /// Sends the reply that may have come of the calls so far.
    fn send_reply(&mut self) {
        if std::mem::take(&mut self.calls_begun) {
            self.link.record_ends();
        }
    }

    async fn frames(&mut self, record: &mut Bytes) -> Result<Option<Goaway>, Violation> {
        loop {
            match frame::take(record) {
                Ok(Some(Frame { kind: Kind::Cast, flags, head: Some(head), body, .. }))
                    if flags.contains(Flags::LAST) =>
                {
                    self.gather(&head, body)?;
                }
                next => {
                    // Nothing overtakes what came before it.
                    self.hand_over();
                    let Some(frame) = next? else { return Ok(None) };
                    if let Some(goaway) = self.frame(frame).await? {
                        return Ok(Some(goaway));
                    }
                }
            }
        }
    }

    /// Puts a whole cast to those before it, if they are for the same server.
    fn gather(&mut self, head: &Head, body: Bytes) -> Result<(), Violation> {
        if let Err(violation) = self.link.check_whole(head.total_bytes, body.len()) {
            // What came before it arrived all the same.
            self.hand_over();
            return Err(violation.into());
        }
        if self.gathered.destination != Some(head.destination) {
            self.hand_over();
            let server = self.defined.name(head.destination).cloned().ok_or(Violation::UnknownServer)?;
            self.gathered.server = Some(server);
            self.gathered.destination = Some(head.destination);
        }
        self.gathered.bodies.push(body);
        Ok(())
    }

    /// Hands over the casts that were gathered.
    fn hand_over(&mut self) {
        let Gathered { server: Some(server), mut bodies, .. } = std::mem::take(&mut self.gathered) else {
            return;
        };
        self.casts(&server, &bodies);
        bodies.clear();
        bodies.shrink_to(GATHERED_KEPT);
        self.gathered.bodies = bodies;
    }

    /// Offers full mailboxes what is held for them, ever more rarely while they stay full. False if they took nothing.
    fn offer_again(&mut self) -> bool {
        let taken = self.link.offer_casts(&*self.dispatch, &mut self.due);
        self.patience = if taken { OFFER_FIRST } else { (self.patience * 2).min(OFFER_MAX) };
        self.offer_at = None;
        self.give_credit();
        taken
    }

    /// Sends the credit that is worth a frame; false if there is none.
    fn give_credit(&mut self) -> bool {
        let grants = self.link.grants(&mut self.due);
        let any = !grants.is_empty();
        for grant in grants {
            self.link.control(Control::Credit(grant));
        }
        any
    }

    fn violation(&self, violation: &dyn std::error::Error) -> ReaderEnd {
        self.link.told.violation(self.link.id(), violation);
        ReaderEnd::Protocol
    }

    /// Acts on one frame; gives the GOAWAY if that was the last.
    async fn frame(&mut self, frame: Frame) -> Result<Option<Goaway>, Violation> {
        match frame.kind {
            Kind::Cast | Kind::Call | Kind::Reply => self.message(frame)?,
            Kind::Chunk => self.chunk(&frame)?,
            Kind::Cancel => {
                // The call may still be arriving, in pieces that the CANCEL has overtaken.
                self.link.arriving().forget(PartialKey { reply: false, id: frame.id });
                self.link.cancel_inbound(CallId(frame.id));
            }
            Kind::Reset => self.link.arriving().forget(key(&frame)),
            Kind::Credit => self.link.granted(&Grant::decode(&frame.body).ok_or(Violation::Control)?),
            Kind::Ping => {
                // One dropped for want of room goes to a peer that floods; another answer shows it that we live.
                let _queued = self.link.control(Control::Pong(frame.id));
            }
            Kind::Pong if pace::is_milestone(frame.id) => self.link.milestone_read(frame.id),
            Kind::Pong if frame.id == HEARTBEAT => self.link.heartbeat_answered(),
            Kind::Pong => self.link.ponged(CallId(frame.id)),
            Kind::Define => self.defined.define(frame.id, &frame.body)?,
            Kind::Mark => {
                let before = mark::decode(&frame.body).ok_or(Violation::Control)?;
                if before.is_empty() {
                    // Its sender knows of no earlier session, so nothing that one has begun goes on.
                    self.link.arriving().clear();
                }
                self.send_reply();
                self.heard.hold();
                for drained in self.link.predecessors(&before, self.handle.id) {
                    drained.cancelled().await;
                }
                self.heard.release();
            }
            Kind::Goaway => {
                let goaway = hello::decode(&frame.body).ok_or(Violation::Control)?;
                self.heard.ends();
                self.link.peer_ends(self.handle.id, goaway);
                self.handle.drained.cancel();
                return Ok(Some(goaway));
            }
        }
        Ok(None)
    }

    /// The first frame of a message, which may be the whole.
    fn message(&mut self, frame: Frame) -> Result<(), Violation> {
        let head = frame.head.ok_or(Violation::Control)?;
        let arriving = self.arriving(&frame, &head)?;
        if frame.flags.contains(Flags::LAST) {
            self.link.check_whole(head.total_bytes, frame.body.len())?;
            self.deliver(arriving, frame.body)?;
        } else {
            self.link.arriving().begin(key(&frame), arriving, head.total_bytes, &frame.body)?;
        }
        Ok(())
    }

    fn chunk(&mut self, frame: &Frame) -> Result<(), Violation> {
        let last = frame.flags.contains(Flags::LAST);
        let whole = self.link.arriving().proceed(key(frame), &frame.body, last)?;
        if let Some((arriving, body)) = whole {
            self.deliver(arriving, body)?;
        }
        Ok(())
    }

    fn arriving(&self, frame: &Frame, head: &Head) -> Result<Arriving, Violation> {
        let server = || -> Result<ServerName, Violation> {
            self.defined.name(head.destination).cloned().ok_or(Violation::UnknownServer)
        };
        Ok(match frame.kind {
            Kind::Cast => Arriving::Cast { server: server()? },
            Kind::Call => {
                let ttl = Duration::from_millis(head.ttl_ms.min(TTL_MS_MAX));
                Arriving::Call { id: CallId(frame.id), server: server()?, deadline: self.arrived + ttl }
            }
            _ => Arriving::Reply { id: CallId(frame.id), refused: frame.flags.contains(Flags::REFUSED) },
        })
    }

    fn deliver(&mut self, arriving: Arriving, body: Bytes) -> Result<(), Violation> {
        match arriving {
            Arriving::Cast { server } => self.casts(&server, &[body]),
            Arriving::Call { id, server, deadline } => {
                count(&self.link.counters.messages_received, 1);
                self.call(id, &server, deadline, body)?;
            }
            Arriving::Reply { id, refused } => {
                count(&self.link.counters.messages_received, 1);
                let outcome = if refused { Err(crate::proto::refusal::decode(body)) } else { Ok(body) };
                self.link.replied(id, outcome);
            }
        }
        Ok(())
    }

    fn casts(&mut self, server: &ServerName, bodies: &[Bytes]) {
        count(&self.link.counters.messages_received, bodies.len());
        let peer = &self.handle.peer;
        let refused = if peer.role == Role::Control {
            tracing::debug!(peer = %self.link.id(), %server, "cast refused: the peer is a command line");
            self.due.took(server, Load::casts(bodies), bodies.len() as u64);
            bodies.len()
        } else {
            self.link.take_in(&*self.dispatch, peer, server, bodies, &mut self.due)
        };
        count(&self.link.counters.casts_refused, refused);
    }

    fn call(
        &mut self,
        id: CallId,
        server: &ServerName,
        deadline: Instant,
        body: Bytes,
    ) -> Result<(), Violation> {
        if self.handle.peer.role == Role::Control && !server.is_control() {
            tracing::debug!(peer = %self.link.id(), %server, "call refused: the peer is a command line");
            self.link.control(Control::Refuse(id.0, Verdict::NotAllowed));
            return Ok(());
        }
        // It would overtake casts that wait for the same mailbox, which is full anyway.
        let begun = if self.link.holds_casts_for(server) {
            Begun::TooMany
        } else {
            self.link.begin_inbound(id, deadline, self.handle.id)
        };
        match begun {
            Begun::Now(inbound) => {
                self.calls_begun = true;
                self.dispatch.call(&self.handle.peer, server, body, Responder::new(inbound));
            }
            Begun::TooMany => {
                self.link.control(Control::Refuse(id.0, Verdict::Overloaded));
            }
            Begun::Twice => return Err(Violation::CallTwice),
        }
        Ok(())
    }
}

fn key(frame: &Frame) -> PartialKey {
    let reply = frame.kind == Kind::Reply || frame.flags.contains(Flags::REPLY);
    PartialKey { reply, id: frame.id }
}

/// A day: a call that waits longer is as good as one without a deadline, and clocks do not overflow.
const TTL_MS_MAX: u64 = 24 * 3_600 * 1_000;
/// A mailbox that was full, and does not say when it no longer is, is looked at again after this long, a millisecond
/// being the least a timer can wait, and then ever more rarely.
const OFFER_FIRST: Duration = Duration::from_millis(1);
const OFFER_MAX: Duration = Duration::from_millis(32);
/// Many peers that wait for one mailbox are all told of room for one cast.
const FALSE_RINGS_MAX: u32 = 16;
/// Casts that a reader keeps room for between records; a record of the smallest holds ten times as many.
const GATHERED_KEPT: usize = 1_024;
