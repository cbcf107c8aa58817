//! Messages of this node to its own servers: they go straight to the layer above, under the rules that all others have.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::net::unsent;
use super::shared::Shared;
use crate::call::{Inbound, ReplySlot, Responder};
use crate::error::{CallError, Refusal, SendError};
use crate::link::Bell;
use crate::net::{Dispatch, Peer};
use crate::node::ServerName;

impl Shared {
    pub(super) fn cast_here(&self, server: &ServerName, body: Bytes) -> Result<(), SendError> {
        let (dispatch, body) = self.here(body)?;
        match dispatch.cast(&self.myself(), server, body.clone()) {
            Ok(()) => Ok(()),
            Err(Refusal::Overloaded) => Err(SendError::Busy { node: self.config.id.clone(), body }),
            Err(refusal) => Err(SendError::Refused { refusal, body }),
        }
    }

    /// The same, offering the message again while the server is full: who casts to a neighbour waits as well.
    pub(super) async fn cast_here_by(
        &self,
        server: &ServerName,
        mut body: Bytes,
        deadline: Instant,
    ) -> Result<(), SendError> {
        let bell = Arc::new(Bell::default());
        let (mut patience, mut rung, mut asked) = (OFFER_FIRST, false, false);
        loop {
            body = match self.cast_here(server, body) {
                Err(SendError::Busy { body, .. }) if Instant::now() < deadline => body,
                done => return done,
            };
            let again = deadline.min(Instant::now() + patience);
            // One that was called and still found no room waits by the clock, not to be called at once again.
            rung = if rung {
                tokio::time::sleep_until(again).await;
                false
            } else {
                if !asked {
                    let (dispatch, body) = self.here(body.clone())?;
                    self.pressed.bells.ask(&*dispatch, server, &body, &bell);
                }
                let rung = tokio::time::timeout_at(again, bell.rung()).await.is_ok();
                asked = !rung;
                rung
            };
            patience = if rung { OFFER_FIRST } else { (2 * patience).min(OFFER_MAX) };
        }
    }

    pub(super) fn call_here(
        &self,
        server: &ServerName,
        body: Bytes,
        (slot, deadline): (ReplySlot, Instant),
    ) -> Result<Arc<Inbound>, CallError> {
        let (dispatch, body) = self.here(body).map_err(unsent)?;
        let inbound = Inbound::local(slot, deadline);
        dispatch.call(&self.myself(), server, body, Responder::new(Arc::clone(&inbound)));
        Ok(inbound)
    }

    /// What takes a message of this node to itself, after the checks of every message.
    fn here(&self, body: Bytes) -> Result<(Arc<dyn Dispatch>, Bytes), SendError> {
        let body = self.check(body)?;
        match self.dispatch() {
            Some(dispatch) => Ok((dispatch, body)),
            None => Err(SendError::NotConnected { node: self.config.id.clone(), body }),
        }
    }

    /// This node as a peer of itself.
    fn myself(&self) -> Arc<Peer> {
        Arc::new(Peer { node: self.node(), role: self.config.role })
    }
}

/// A full server of this node that does not tell of room is offered a message again after this long, and then ever more
/// rarely.
const OFFER_FIRST: Duration = Duration::from_millis(1);
const OFFER_MAX: Duration = Duration::from_millis(32);
