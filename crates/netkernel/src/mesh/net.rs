//! The kernel as the layers above see it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::establish::Purpose;
use super::kernel::Kernel;
use super::shared::Shared;
use super::{establish, supervisor};
use crate::call::{Call, deadline_after};
use crate::error::{CallError, ConnectError, SendError, Stage};
use crate::events::PeerEvents;
use crate::link::Link;
use crate::net::{BoxFuture, Net, PeerStatus, outcomes};
use crate::node::{Address, Incarnation, Node, NodeId, Role, ServerName};

impl Net for Kernel {
    fn local(&self) -> Node {
        self.shared.node()
    }

    fn set_incarnation(&self, incarnation: Incarnation) {
        if !self.shared.raise_incarnation(incarnation) {
            return;
        }
        for link in self.shared.all_links() {
            if link.has(Role::Node) {
                link.end_sessions(true);
            }
        }
    }

    fn try_cast(&self, to: &NodeId, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        if *to == self.shared.config.id {
            return self.shared.cast_here(server, body);
        }
        let (link, body) = self.shared.outgoing(to, body)?;
        link.try_cast(server, body)
    }

    fn try_cast_ahead(&self, to: &NodeId, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        if *to == self.shared.config.id {
            return self.shared.cast_here(server, body);
        }
        let (link, body) = self.shared.outgoing(to, body)?;
        link.try_cast_ahead(server, body)
    }

    fn cast<'a>(
        &'a self,
        to: &'a NodeId,
        server: &'a ServerName,
        body: Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            if *to == self.shared.config.id {
                return self.shared.cast_here_by(server, body, deadline_after(timeout)).await;
            }
            let (link, body) = self.shared.outgoing(to, body)?;
            link.cast(server, body, timeout).await
        })
    }

    fn call(&self, to: &NodeId, server: &ServerName, body: Bytes, timeout: Duration) -> Call {
        self.shared.call(to, server, body, timeout, true)
    }

    fn multicall<'a>(
        &self,
        to: &[NodeId],
        server: &ServerName,
        body: &Bytes,
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<(NodeId, Result<Bytes, CallError>)>> {
        // Many links' writers write side by side; this task would write to one after the other.
        let by_itself = to.len() == 1;
        let call =
            |node: &NodeId| (node.clone(), self.shared.call(node, server, body.clone(), timeout, by_itself));
        Box::pin(outcomes(to.iter().map(call).collect()))
    }

    fn ping<'a>(&'a self, to: &'a NodeId, timeout: Duration) -> BoxFuture<'a, Result<Duration, CallError>> {
        Box::pin(async move {
            if *to == self.shared.config.id {
                return Ok(Duration::ZERO);
            }
            let (link, _body) = self.shared.outgoing(to, Bytes::new()).map_err(unsent)?;
            ping(&self.shared, &link, timeout, false).await
        })
    }

    fn connect(&self, id: &NodeId, address: &Address) {
        if *id == self.shared.config.id || self.shared.closing.is_cancelled() {
            return;
        }
        let visit = self.shared.visit(id, Role::Node);
        visit.link.set_wish(address);
        if self.shared.dispatch().is_some() {
            supervisor::begin(&self.shared, &visit.link);
        }
    }

    fn dial<'a>(
        &'a self,
        address: &'a Address,
        expected: Option<&'a NodeId>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Node, ConnectError>> {
        Box::pin(async move {
            let dialing = establish::dial(&self.shared, address, expected, Purpose::This);
            tokio::select! {
                () = self.shared.closing.cancelled() => Err(ConnectError::ShuttingDown),
                dialed = tokio::time::timeout(timeout, dialing) => {
                    dialed.unwrap_or_else(|_elapsed| Err(ConnectError::Timeout { address: address.clone() }))
                }
            }
        })
    }

    fn disconnect(&self, id: &NodeId, drain: bool) {
        let Some(link) = self.shared.link(id) else { return };
        link.end_wish();
        link.end_sessions(drain);
        self.shared.forget_if_idle(&link);
    }

    fn peers(&self) -> Vec<PeerStatus> {
        self.shared.peers()
    }

    fn events(&self) -> PeerEvents {
        self.shared.events.subscribe()
    }
}

/// Asks an incumbent for a sign of life, however many calls to it are under way: one that has a lot to do is not dead.
pub(super) async fn probe(
    shared: &Shared,
    link: &Arc<Link>,
    patience: Duration,
) -> Result<Duration, CallError> {
    ping(shared, link, patience, true).await
}

/// Asks a link's session for a sign of life and says how long it took.
async fn ping(
    shared: &Shared,
    link: &Arc<Link>,
    timeout: Duration,
    probe: bool,
) -> Result<Duration, CallError> {
    let start = Instant::now();
    let pinged = Call::start(timeout, |slot, _deadline| {
        let id = shared.call_id();
        link.ping(id, slot, probe)?;
        let link = Arc::clone(link);
        Ok(Box::new(move || link.abandon_ping(id)))
    });
    pinged.await?;
    let round_trip = start.elapsed();
    link.set_round_trip(round_trip);
    Ok(round_trip)
}

/// The same refusal, for a call.
pub(super) fn unsent(error: SendError) -> CallError {
    match error {
        SendError::Busy { node, .. } => CallError::Busy { node },
        SendError::NotConnected { node, .. } => CallError::NotConnected { node },
        SendError::TooLarge { bytes, max, .. } => CallError::TooLarge { bytes, max },
        SendError::Refused { refusal, .. } => CallError::Refused(refusal),
        SendError::ShuttingDown { .. } => CallError::ShuttingDown,
    }
}

impl Shared {
    /// The checks of every message, be it for this node or another.
    pub(super) fn check(&self, body: Bytes) -> Result<Bytes, SendError> {
        if self.closing.is_cancelled() {
            return Err(SendError::ShuttingDown { body });
        }
        let max = self.config.limits.message_bytes_max;
        if body.len() > max {
            return Err(SendError::TooLarge { bytes: body.len(), max, body });
        }
        Ok(body)
    }

    /// The link a message for `to` goes by, after the checks that cost nothing.
    fn outgoing(&self, to: &NodeId, body: Bytes) -> Result<(Arc<Link>, Bytes), SendError> {
        let body = self.check(body)?;
        match self.link(to) {
            Some(link) => Ok((link, body)),
            None => Err(SendError::NotConnected { node: to.clone(), body }),
        }
    }

    fn call(
        &self,
        to: &NodeId,
        server: &ServerName,
        body: Bytes,
        timeout: Duration,
        by_itself: bool,
    ) -> Call {
        Call::start(timeout, |slot, deadline| {
            if *to == self.config.id {
                let inbound = self.call_here(server, body, (slot, deadline))?;
                return Ok(Box::new(move || {
                    inbound.cancel();
                    Stage::Sent
                }));
            }
            let (link, body) = self.outgoing(to, body).map_err(unsent)?;
            let id = self.call_id();
            link.call(id, server, body, (slot, deadline), by_itself)?;
            Ok(Box::new(move || link.abandon(id)))
        })
    }
}
