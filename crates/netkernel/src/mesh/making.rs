//! A session on its way from the handshake to its end: registered with its link, started, watched to the last.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tracing::Instrument;

use super::shared::{Place, Shared, Visit};
use crate::error::HandshakeError;
use crate::link::{Ended, Link, SessionHandle};
use crate::net::{Peer, PeerEvent};
use crate::node::{Incarnation, Role};
use crate::proto::arbiter::Confirmed;
use crate::proto::hello::{self, Hello, Receives, SessionId};
use crate::security::Channel;
use crate::session::{self, Encoder, Outcome, RecordReader, Running, Session};

/// When an accepted or dialed session may take over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Now,
    WhenHeard,
}

/// A connection whose first two messages have opened: its records confirm the session.
pub(super) struct Opening {
    records: RecordReader,
    encoder: Encoder,
    /// Its place among the sessions that were accepted.
    pub(super) place: Option<Place>,
}

impl Opening {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            records: RecordReader::new(channel.read, channel.open),
            encoder: Encoder::new(channel.write, channel.seal),
            place: None,
        }
    }

    pub(super) async fn send<T: serde::Serialize>(&mut self, value: &T) -> Result<(), HandshakeError> {
        let broken = |_| HandshakeError::Damaged;
        self.encoder.plain(&hello::encode(value)).map_err(broken)?;
        self.encoder.flush().await.map_err(|_| HandshakeError::Closed)?;
        Ok(())
    }

    pub(super) async fn receive<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, HandshakeError> {
        let (plain, _): (Bytes, usize) = self.records.next().await.map_err(HandshakeError::from)?;
        hello::decode(&plain).ok_or(HandshakeError::Malformed)
    }
}

/// A session in the making: registered with its link.
pub(super) struct Making {
    visit: Visit,
    handle: SessionHandle,
    receives: Receives,
    pub(super) opening: Opening,
    registered: Registered,
}

/// Takes a session that never began off its link.
struct Registered {
    link: Arc<Link>,
    session: Option<SessionId>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            self.link.unregister(session);
        }
    }
}

impl Making {
    /// Registers a session. One whose id is taken is refused (the accepting end draws it at random, or lies), and one that
    /// may not follow on those that there are.
    pub(super) fn register(
        visit: &Visit,
        hello: &Hello,
        session: SessionId,
        opening: Opening,
    ) -> Result<Self, HandshakeError> {
        let peer = Arc::new(Peer { node: hello.node.clone(), role: hello.role });
        let handle = visit.link.register(session, &peer, hello.instance)?;
        let registered = Registered { link: Arc::clone(&visit.link), session: Some(session) };
        Ok(Self { visit: visit.clone(), handle, receives: hello.receives, opening, registered })
    }

    /// Runs the session in a task of the kernel.
    pub(super) fn start(
        mut self,
        own: Incarnation,
        confirmed: Confirmed,
        start: Start,
    ) -> Result<(), HandshakeError> {
        let dispatch = self.visit.shared.dispatch().ok_or(HandshakeError::Unavailable)?;
        self.registered.session = None;
        let Visit { shared, link } = &self.visit;
        let (shared, link) = (Arc::clone(shared), Arc::clone(link));
        let receives = self.receives;
        let takes_over = move || {
            shared.latch.enter(|| announce(&shared, &link, confirmed, receives), || link.end_sessions(true));
            // This node became a later instance of itself while the session was being made under the earlier.
            if shared.node().incarnation != own {
                link.end_sessions(true);
            }
        };
        let activate: Option<session::Activate> = match start {
            Start::Now => {
                takes_over();
                None
            }
            Start::WhenHeard => Some(Box::new(takes_over)),
        };
        let Visit { shared, link } = &self.visit;
        let (for_report, reported) = (Arc::clone(shared), Arc::clone(link));
        let session = Session {
            link: Arc::clone(link),
            handle: self.handle,
            records: self.opening.records,
            encoder: self.opening.encoder,
            activate,
            report: Box::new(move || for_report.report_losses(&reported)),
            dispatch,
            limits: shared.config.limits.clone(),
            watch: Arc::clone(&shared.watch),
        };
        // Entered with every message: whoever does not ask for it is not to pay for it.
        let span =
            tracing::debug_span!("session", node = %shared.config.id, peer = %session.handle.peer.node.id);
        let running = span.in_scope(|| session::begin(session, &shared.tasks));
        shared.spawn(live(self.visit.clone(), running, self.opening.place).instrument(span));
        Ok(())
    }
}

/// Activates a session and tells the layers above what that changes.
fn announce(shared: &Shared, link: &Link, confirmed: Confirmed, receives: Receives) {
    let _told_in_order = link.announcing();
    let up = link.activate(confirmed, receives);
    for peer in up.into_iter().filter(|peer| peer.role != Role::Control) {
        shared.emit(PeerEvent::Up { peer });
    }
    shared.report_losses(link);
}

/// A session's life and what follows its end.
async fn live(visit: Visit, mut session: Running, place: Option<Place>) {
    let Visit { shared, link } = &visit;
    let Outcome { ended, reason, broke } = session.ended().await;
    drop(session);
    drop(place);
    if matches!(ended, Ended::Awaits) {
        // The session that supersedes this one is on its way, unless it breaks before it arrives.
        link.heir_is_decided().await;
    }
    if broke && shared.closing.is_cancelled() {
        shared.is_drained.store(false, Ordering::Relaxed);
    }
    if !matches!(ended, Ended::Continues) {
        let _told_in_order = link.announcing();
        if let Some((peer, first)) = link.declare_down(shared.dispatch().as_deref()) {
            // Whatever was written to it may be lost: that is what this says.
            link.newly_unconfirmed();
            if peer.role != Role::Control {
                shared.emit(PeerEvent::Down { peer, reason: first.unwrap_or(reason) });
            }
        }
    }
    shared.report_losses(link);
}
