//! Making a session, from either end: connection, handshake, the question which instance of a node lives, and the
//! last two records that confirm it all. Before the dialer's record 0 has opened, nothing at the acceptor changes.

use std::sync::Arc;

use tokio::time::Instant;

use super::admission::Handshake;
use super::making::{Making, Opening, Start};
use super::net::probe;
use super::shared::{Shared, Visit, random};
use crate::call::deadline_after;
use crate::error::{CallError, ConnectError, HandshakeError};
use crate::link::Link;
use crate::net::PeerEvent;
use crate::node::{Address, Incarnation, Node, NodeId};
use crate::proto::arbiter::Confirmed;
use crate::proto::hello::{self, Answer, Finish, Hello, SessionId, Welcome};
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
    let visit = shared.visit(&node.id, welcome.hello.role);
    let _one_at_a_time = visit.link.dialing.lock().await;
    let dialed_by_lower = shared.config.id < node.id;
    let mut incarnations = [incarnation, node.incarnation];
    if !dialed_by_lower {
        incarnations.reverse();
    }
    let confirmed =
        Confirmed { session: welcome.session, incarnations, dialed_by_lower, connection: counter };
    settle_instances(shared, &visit.link, &welcome.hello).await?;
    // Of two nodes that dial each other at once, the one whose session will not stay spares both the rest of it. Later
    // than this it must not: the other end uses a session from its FINISH on.
    if purpose == Purpose::This || !visit.link.outranks(confirmed) {
        let opening = Opening::new(channel);
        confirm_dialed(&visit, &welcome, (confirmed, incarnation), opening).await?;
    }
    Ok(welcome.hello.node)
}

async fn confirm_dialed(
    visit: &Visit,
    welcome: &Welcome,
    (confirmed, own): (Confirmed, Incarnation),
    opening: Opening,
) -> Result<(), HandshakeError> {
    let mut making = Making::register(visit, &welcome.hello, welcome.session, opening)?;
    making.opening.send(&Finish::new(visit.link.lost())).await?;
    match making.opening.receive().await? {
        Answer::Ready { lost } => visit.link.give_up(welcome.hello.instance, &lost).await,
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
    handshake: &Handshake,
) -> Result<(), HandshakeError> {
    let session = SessionId(random().map_err(|_| HandshakeError::Unavailable)?);
    let welcome = Welcome { hello: shared.hello(), session };
    let own = welcome.hello.node.incarnation;
    let (security, limits) = (&shared.config.security, &shared.config.limits);
    let authentic = || handshake.set_authentic();
    let (channel, hello) = security.server(connection, hello::encode(&welcome), &authentic).await?;
    let hello: Hello = hello::decode(&hello).ok_or(HandshakeError::Malformed)?;
    if !shared.first_messages.is_new(&hello, limits.handshake_whole) {
        return Err(HandshakeError::Replayed);
    }
    let dialed_by_lower = hello.node.id < shared.config.id;
    let mut incarnations = [hello.node.incarnation, own];
    if !dialed_by_lower {
        incarnations.reverse();
    }
    let confirmed = Confirmed { session, incarnations, dialed_by_lower, connection: hello.connection };
    let mut opening = Opening::new(channel);
    let would_lose = || shared.link(&hello.node.id).is_some_and(|link| link.outranks(confirmed));
    let finish: Finish = match opening.receive().await {
        // The dialer knows that this session would not stay, and has given it up.
        Err(HandshakeError::Closed) if would_lose() => return Ok(()),
        finish => finish?,
    };
    if !finish.is_genuine() {
        return Err(HandshakeError::Malformed);
    }
    confirm_accepted(shared, &hello, (finish, handshake), (confirmed, own), opening).await
}

async fn confirm_accepted(
    shared: &Arc<Shared>,
    hello: &Hello,
    (finish, handshake): (Finish, &Handshake),
    (confirmed, own): (Confirmed, Incarnation),
    mut opening: Opening,
) -> Result<(), HandshakeError> {
    if let Err(error) = admit(shared, hello) {
        return refuse(opening, error).await;
    }
    let Some(place) = shared.place() else {
        return refuse(opening, HandshakeError::Unavailable).await;
    };
    // Others need not wait for what follows, which may take as long as the incumbent is asked for.
    handshake.set_over();
    let visit = shared.visit(&hello.node.id, hello.role);
    let link = &visit.link;
    link.give_up(hello.instance, &finish.lost).await;
    if let Err(error) = settle_instances(shared, link, hello).await {
        if matches!(error, HandshakeError::DuplicateNode { .. }) && link.duplicates.event().is_some() {
            let (id, refused) = (hello.node.id.clone(), hello.node.incarnation);
            shared.emit(PeerEvent::Duplicate { id, refused });
        }
        return refuse(opening, error).await;
    }
    opening.place = Some(place);
    let mut making = Making::register(&visit, hello, confirmed.session, opening)?;
    // It is one of them by now: of several that come at once each sees the others.
    if link.sessions() > shared.config.limits.sessions_per_peer_max {
        making.opening.send(&Answer::Unavailable).await?;
        return Err(HandshakeError::Unavailable);
    }
    making.opening.send(&Answer::Ready { lost: link.lost() }).await?;
    // The first session is used at once. A further one takes over only once the dialer has shown that it knows
    // of it: a firewall that swallows READY must not starve a session that works.
    let start = if link.is_sending() { Start::WhenHeard } else { Start::Now };
    making.start(own, confirmed, start)
}

/// Tells a dialer why it is refused.
async fn refuse(mut opening: Opening, error: HandshakeError) -> Result<(), HandshakeError> {
    let answer = match &error {
        HandshakeError::Myself => Answer::Myself,
        HandshakeError::DuplicateNode { incarnation } => Answer::Duplicate(*incarnation),
        _ => Answer::Unavailable,
    };
    opening.send(&answer).await?;
    Err(error)
}

/// Whether a dialer that has proven its keys may have a session, as far as that is known without asking anybody.
fn admit(shared: &Shared, hello: &Hello) -> Result<(), HandshakeError> {
    match refuse_self(shared, hello) {
        // To one that uses this node's id, the incumbent is this node.
        Err(HandshakeError::DuplicateNode { .. }) => {
            return Err(HandshakeError::DuplicateNode { incarnation: shared.node().incarnation });
        }
        refused => refused?,
    }
    if shared.latch.is_shut() { Err(HandshakeError::Unavailable) } else { Ok(()) }
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

/// Makes sure that a newcomer may have a session beside those that there are, or that these have ended and that was told:
/// it would follow on them here, and be the first of a new link at the other end.
///
/// Of two kernels that use one id only one has a link: the one that has it already is probed, and keeps its place if it
/// lives. Incarnations do not matter here: a kernel's number tells it from all others, whatever run of its node it says to
/// be. While one newcomer waits for that, others are refused: each would wait as long, and they come again. Of a kernel that
/// has become a later run of itself, the link of the earlier ends first.
async fn settle_instances(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    newcomer: &Hello,
) -> Result<(), HandshakeError> {
    link.end_is_told().await;
    let Some((incumbent, instance)) = link.announced() else { return Ok(()) };
    let known = incumbent.node.incarnation;
    if instance != newcomer.instance {
        let Ok(_one_at_a_time) = link.probing.try_lock() else {
            return Err(HandshakeError::Unavailable);
        };
        if lives(shared, link).await {
            return Err(HandshakeError::DuplicateNode { incarnation: known });
        }
        link.is_dead(instance);
    } else if newcomer.role != incumbent.role {
        return Err(HandshakeError::Malformed);
    } else if newcomer.node.incarnation < known {
        return Err(HandshakeError::Unavailable);
    } else if newcomer.node.incarnation > known {
        link.is_over();
    }
    link.end_is_told().await;
    Ok(())
}

/// Whether a peer that is connected answers a probe, or anything else is heard of it meanwhile: it may have a lot to read
/// before it can answer. While one session takes over from another there is none to ask by; the next is heard soon.
async fn lives(shared: &Arc<Shared>, link: &Arc<Link>) -> bool {
    let (before, until) = (shared.watch.heard(link), deadline_after(shared.config.limits.probe));
    loop {
        match probe(shared, link, until.saturating_duration_since(Instant::now())).await {
            Ok(_round_trip) => return true,
            Err(CallError::Timeout { .. }) => break,
            Err(_its_session_ended) => {
                let over = tokio::time::timeout_at(until, link.change_is_over()).await;
                if over.is_err() || link.announced().is_none() {
                    break;
                }
            }
        }
    }
    shared.watch.heard(link).iter().any(|(session, times)| before.get(session) < Some(times))
}
