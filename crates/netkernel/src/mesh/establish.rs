//! Making a session, from either end: connection, handshake, the question which instance of a node lives, and the
//! last two records that confirm it all.

use std::sync::Arc;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::net::ping;
use super::shared::{Shared, random};
use crate::error::{ConnectError, HandshakeError};
use crate::link::{Activated, Ended, Link, SessionHandle};
use crate::net::{DownReason, Peer, PeerEvent};
use crate::node::{Address, Incarnation, Node, NodeId, Role};
use crate::proto::arbiter::Confirmed;
use crate::proto::hello::{self, Answer, Finish, Hello, SessionId, Welcome};
use crate::security::Channel;
use crate::session::{self, Encoder, RecordReader, Session};
use crate::transport::Connection;

/// What a session is dialed for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To have this one.
    This,
    /// To have any: one that would lose against the present session is given up before it is confirmed.
    Any,
}

/// Makes sure of a session with whoever answers at `address`.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    address: &Address,
    expected: Option<&NodeId>,
    purpose: Purpose,
) -> Result<Node, ConnectError> {
    let whole = shared.config.limits.handshake_whole;
    let connecting = tokio::time::timeout(whole, shared.config.transport.connect(address)).await;
    // The system's own limit is minutes: by then a link that has healed would still be down.
    let connected = connecting.unwrap_or_else(|_elapsed| Err(std::io::ErrorKind::TimedOut.into()));
    let connection =
        connected.map_err(|source| ConnectError::Unreachable { address: address.clone(), source })?;
    let handshake = handshake(shared, address, expected, purpose, connection);
    let made = match tokio::time::timeout(whole, handshake).await {
        Ok(made) => made,
        Err(_elapsed) => Err(Failure::Handshake(HandshakeError::Timeout)),
    };
    made.map_err(|failure| failure.at(shared, address))
}

/// Why dialing failed, before the address is put to it.
enum Failure {
    Handshake(HandshakeError),
    WrongNode { expected: NodeId, found: NodeId },
}

impl<E: Into<HandshakeError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Handshake(error.into())
    }
}

impl Failure {
    fn at(self, shared: &Shared, address: &Address) -> ConnectError {
        let address = address.clone();
        match self {
            Self::WrongNode { expected, found } => ConnectError::WrongNode { address, expected, found },
            Self::Handshake(HandshakeError::Myself) => ConnectError::Myself { address },
            Self::Handshake(source) => {
                if let HandshakeError::DuplicateNode { incarnation } = source {
                    let event =
                        PeerEvent::RefusedAsDuplicate { address: address.clone(), incumbent: incarnation };
                    shared.emit(event);
                }
                ConnectError::Handshake { address, source }
            }
        }
    }
}

/// The dialing end, from an open connection to a running session.
async fn handshake(
    shared: &Arc<Shared>,
    address: &Address,
    expected: Option<&NodeId>,
    purpose: Purpose,
    connection: Connection,
) -> Result<Node, Failure> {
    let own = shared.hello();
    let (counter, incarnation) = (own.connection, own.node.incarnation);
    let security = &shared.config.security;
    let (channel, welcome) = security.client(connection, hello::encode(&own)).await?;
    let welcome: Welcome = hello::decode(&welcome).ok_or(HandshakeError::Malformed)?;
    let node = &welcome.hello.node;
    if let Some(expected) = expected.filter(|expected| **expected != node.id) {
        return Err(Failure::WrongNode { expected: expected.clone(), found: node.id.clone() });
    }
    refuse_self(shared, &welcome.hello)?;
    tracing::trace!(%address, peer = %node.id, "handshake answered");
    let visit = shared.visit(&node.id);
    let _one_at_a_time = visit.link.dialing.lock().await;
    let confirmed = Confirmed {
        session: welcome.session,
        incarnation: node.incarnation,
        dialed_by_lower: shared.config.id < node.id,
        connection: counter,
    };
    settle_incarnations(shared, &visit.link, node.incarnation).await?;
    // Of two nodes that dial each other at once, the one whose session will not stay spares both the rest of it. Later
    // than this it must not: the other end uses a session from its FINISH on.
    if purpose == Purpose::This || !visit.link.outranks(confirmed) {
        confirm_dialed(shared, &visit.link, &welcome, (confirmed, incarnation), channel).await?;
    }
    Ok(welcome.hello.node)
}

async fn confirm_dialed(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    welcome: &Welcome,
    (confirmed, own): (Confirmed, Incarnation),
    channel: Channel,
) -> Result<(), HandshakeError> {
    let mut making = Making::register(shared, link, &welcome.hello, welcome.session, channel);
    making.send(&Finish::new(link.lost())).await?;
    match making.receive().await? {
        Answer::Ready { lost } => await_all(link.give_up(&lost)).await,
        Answer::Duplicate(incarnation) => return Err(HandshakeError::DuplicateNode { incarnation }),
        Answer::Myself => return Err(HandshakeError::Myself),
        Answer::Unavailable => return Err(HandshakeError::Unavailable),
    }
    making.start(own, confirmed, Start::Now)
}

/// The accepting end, from an open connection to a running session.
pub(super) async fn accept(
    shared: &Arc<Shared>,
    connection: Connection,
    authentic: &(dyn Fn() + Send + Sync),
) -> Result<(), HandshakeError> {
    let session = SessionId(random().map_err(|_| HandshakeError::Unavailable)?);
    let welcome = Welcome { hello: shared.hello(), session };
    let own = welcome.hello.node.incarnation;
    let security = &shared.config.security;
    let (channel, hello) = security.server(connection, hello::encode(&welcome), authentic).await?;
    let hello: Hello = hello::decode(&hello).ok_or(HandshakeError::Malformed)?;
    let visit = shared.visit(&hello.node.id);
    let confirmed = Confirmed {
        session,
        incarnation: hello.node.incarnation,
        dialed_by_lower: hello.node.id < shared.config.id,
        connection: hello.connection,
    };
    confirm_accepted(shared, &visit.link, &hello, (confirmed, own), channel).await
}

async fn confirm_accepted(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    hello: &Hello,
    (confirmed, own): (Confirmed, Incarnation),
    channel: Channel,
) -> Result<(), HandshakeError> {
    let mut making = Making::register(shared, link, hello, confirmed.session, channel);
    let finish: Finish = match making.receive().await {
        // The dialer knows that this session would not stay, and has given it up.
        Err(HandshakeError::Closed) if link.outranks(confirmed) => return Ok(()),
        finish => finish?,
    };
    if !finish.is_genuine() {
        return Err(HandshakeError::Malformed);
    }
    if let Err(error) = admit(shared, link, hello).await {
        let answer = match &error {
            HandshakeError::Myself => Answer::Myself,
            HandshakeError::DuplicateNode { incarnation } => Answer::Duplicate(*incarnation),
            _ => Answer::Unavailable,
        };
        making.send(&answer).await?;
        return Err(error);
    }
    await_all(link.give_up(&finish.lost)).await;
    making.send(&Answer::Ready { lost: link.lost() }).await?;
    // The first session is used at once. A further one takes over only once the dialer has shown that it knows
    // of it: a firewall that swallows READY must not starve a session that works.
    let start = if link.present().is_none() { Start::Now } else { Start::WhenHeard };
    making.start(own, confirmed, start)
}

/// Whether a dialer that has proven its keys may have a session.
async fn admit(shared: &Arc<Shared>, link: &Arc<Link>, hello: &Hello) -> Result<(), HandshakeError> {
    match refuse_self(shared, hello) {
        // To one that uses this node's id, the incumbent is this node.
        Err(HandshakeError::DuplicateNode { .. }) => {
            return Err(HandshakeError::DuplicateNode { incarnation: shared.node().incarnation });
        }
        refused => refused?,
    }
    if shared.latch.is_shut() {
        return Err(HandshakeError::Unavailable);
    }
    let settled = settle_incarnations(shared, link, hello.node.incarnation).await;
    if settled.is_err() {
        let (id, refused) = (hello.node.id.clone(), hello.node.incarnation);
        shared.emit(PeerEvent::Duplicate { id, refused });
    }
    settled
}

/// When an accepted or dialed session may take over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Now,
    WhenHeard,
}

/// A session in the making: registered with its link, its keys not yet confirmed.
struct Making<'a> {
    shared: &'a Arc<Shared>,
    link: &'a Arc<Link>,
    handle: SessionHandle,
    records: RecordReader,
    encoder: Encoder,
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

impl<'a> Making<'a> {
    fn register(
        shared: &'a Arc<Shared>,
        link: &'a Arc<Link>,
        hello: &Hello,
        session: SessionId,
        channel: Channel,
    ) -> Self {
        let peer = Arc::new(Peer { node: hello.node.clone(), role: hello.role });
        Self {
            shared,
            link,
            handle: link.register(session, &peer),
            records: RecordReader::new(channel.read, channel.open),
            encoder: Encoder::new(channel.write, channel.seal),
            registered: Registered { link: Arc::clone(link), session: Some(session) },
        }
    }

    async fn send<T: serde::Serialize>(&mut self, value: &T) -> Result<(), HandshakeError> {
        let broken = |_| HandshakeError::Authentication;
        self.encoder.plain(&hello::encode(value)).map_err(broken)?;
        self.encoder.flush().await.map_err(|_| HandshakeError::Closed)?;
        Ok(())
    }

    async fn receive<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, HandshakeError> {
        let (plain, _): (Bytes, usize) = self.records.next().await.map_err(HandshakeError::from)?;
        hello::decode(&plain).ok_or(HandshakeError::Malformed)
    }

    /// Runs the session in a task of the kernel.
    fn start(mut self, own: Incarnation, confirmed: Confirmed, start: Start) -> Result<(), HandshakeError> {
        let dispatch = self.shared.dispatch().ok_or(HandshakeError::Unavailable)?;
        self.registered.session = None;
        let (shared, link) = (Arc::clone(self.shared), Arc::clone(self.link));
        let takes_over = move || {
            shared.latch.enter(|| announce(&shared, &link, confirmed), || link.end_sessions(true));
            // This node became a later instance of itself while the session was being made under the earlier.
            if shared.node().incarnation != own {
                link.end_sessions(true);
            }
        };
        let activate: session::Activate = match start {
            Start::Now => {
                takes_over();
                Box::new(|| {})
            }
            Start::WhenHeard => Box::new(takes_over),
        };
        let session = Session {
            link: Arc::clone(self.link),
            handle: self.handle,
            records: self.records,
            encoder: self.encoder,
            activate,
            dispatch,
            limits: self.shared.config.limits.clone(),
            epoch: self.shared.epoch,
        };
        let span = tracing::info_span!("session", node = %self.shared.config.id, peer = %session.handle.peer.node.id);
        self.shared.spawn(live(Arc::clone(self.shared), session).instrument(span));
        Ok(())
    }
}

/// Activates a session and tells the layers above what that changes.
fn announce(shared: &Shared, link: &Link, confirmed: Confirmed) {
    let _told_in_order = link.announcing();
    let Activated { replaced, up } = link.activate(confirmed);
    for peer in replaced.into_iter().filter(|peer| peer.role != Role::Control) {
        shared.emit(PeerEvent::Down { peer, reason: DownReason::Restarted });
    }
    for peer in up.into_iter().filter(|peer| peer.role != Role::Control) {
        shared.emit(PeerEvent::Up { peer });
    }
}

/// A session's life and what follows its end.
async fn live(shared: Arc<Shared>, session: Session) {
    let link = Arc::clone(&session.link);
    let mut up = link.up.subscribe();
    let (ended, reason) = session::run(session, &shared.tasks).await;
    if matches!(ended, Ended::Awaits) {
        up.mark_unchanged();
        // The session that supersedes this one is on its way, unless it breaks before it arrives.
        let _came = tokio::time::timeout(shared.config.limits.handshake_whole, up.changed()).await;
    }
    if !matches!(ended, Ended::Continues) {
        let _told_in_order = link.announcing();
        let down = link.declare_down(shared.dispatch().as_deref());
        if let Some(peer) = down.filter(|peer| peer.role != Role::Control) {
            shared.emit(PeerEvent::Down { peer, reason });
        }
    }
    shared.forget_if_idle(&link);
}

/// Refuses a peer that is this node, or uses its id.
fn refuse_self(shared: &Shared, hello: &Hello) -> Result<(), HandshakeError> {
    if shared.is_self(hello) {
        return Err(HandshakeError::Myself);
    }
    if hello.node.id == shared.config.id {
        return Err(HandshakeError::DuplicateNode { incarnation: hello.node.incarnation });
    }
    Ok(())
}

/// Of two instances of one node only one may have sessions: the one that has them already is probed, and keeps
/// its place if it answers.
async fn settle_incarnations(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    newcomer: Incarnation,
) -> Result<(), HandshakeError> {
    let Some((session, incumbent)) = link.present() else { return Ok(()) };
    let incarnation = incumbent.node.incarnation;
    if incarnation == newcomer {
        return Ok(());
    }
    if ping(shared, link, shared.config.limits.probe).await.is_ok() {
        return Err(HandshakeError::DuplicateNode { incarnation });
    }
    await_all(link.kill(session, DownReason::Restarted)).await;
    Ok(())
}

async fn await_all(tokens: impl IntoIterator<Item = CancellationToken>) {
    for token in tokens {
        token.cancelled().await;
    }
}
