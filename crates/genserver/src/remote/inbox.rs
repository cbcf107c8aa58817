//! What arrives from other nodes, handed on without waiting and without decoding the messages themselves.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use netkernel::{Accepted, Dispatch, Peer, Refusal, Responder, ServerName};

use super::body::{self, Header, HeaderError, Held, Target};
use super::refusal;
use crate::chain::Chain;
use crate::process::{AnyProcess, Encoded, Together};
use crate::remote::monitors::ServerKey;
use crate::system::{System, WeakSystem};

/// A system's entrance. Holds the system weakly: the network, which holds this, belongs to the system.
pub(crate) struct Inbox(pub(crate) WeakSystem);

/// Whom an arrived message is for.
enum Recipient {
    Server(Arc<dyn AnyProcess>),
    /// The monitors of the system itself.
    System,
}

impl Inbox {
    fn recipient(system: &System, server: &ServerName, header: &Header<'_>) -> Result<Recipient, Refusal> {
        let direct = server == system.direct();
        let key = match header.target {
            Target::Named if direct => return Ok(Recipient::System),
            Target::Named => ServerKey::Name(server.clone()),
            Target::Number { incarnation, number } => {
                if incarnation != system.incarnation() {
                    return Err(refusal::node_down(incarnation));
                }
                ServerKey::Number { incarnation, number }
            }
        };
        system.find(&key).map(Recipient::Server).ok_or(Refusal::NoProc)
    }

    /// Hands over as many as are of one kind and for one server: says how many it took, or why the first was not.
    /// `None` if they do not go together.
    fn some(&self, server: &ServerName, bodies: &[Bytes]) -> Option<Result<usize, Refusal>> {
        let (header, message) = body::split(&bodies[0]).ok()?;
        let start = bodies[0].len() - message.len();
        let count = body::alike(bodies, start);
        if count < 2 {
            return None;
        }
        let system = self.0.upgrade()?;
        Some(match Self::recipient(&system, server, &header) {
            Ok(Recipient::System) => return None,
            Ok(Recipient::Server(server)) => {
                let (tag, version) = (header.tag, header.version);
                server.take_casts(Together { tag, version, bodies: &bodies[..count], start })
            }
            Err(refusal) => Err(refusal),
        })
    }
}

impl Dispatch for Inbox {
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        let system = self.0.upgrade().ok_or(Refusal::Draining)?;
        let (header, message) = body::split(&body).map_err(|error| malformed(from, error))?;
        match Self::recipient(&system, server, &header)? {
            Recipient::System => system.monitors().take_cast(&system, &from.node.id, &header, message),
            Recipient::Server(server) => server.take_cast(Encoded::of(&header, Held::of(&body, message))),
        }
    }

    fn casts(&self, from: &Arc<Peer>, server: &ServerName, bodies: &[Bytes]) -> Accepted {
        let mut accepted = Accepted::default();
        while let Some(left @ [first, ..]) = bodies.get(accepted.messages..) {
            match self.some(server, left) {
                Some(Ok(taken)) => accepted.took(taken),
                Some(Err(Refusal::Overloaded)) => break,
                Some(Err(refusal)) => accepted.refuse(server, &refusal),
                None => match self.cast(from, server, first.clone()) {
                    Ok(()) => accepted.took(1),
                    Err(Refusal::Overloaded) => break,
                    Err(refusal) => accepted.refuse(server, &refusal),
                },
            }
        }
        accepted
    }

    fn wake_with_room(&self, server: &ServerName, next: &Bytes, waker: &Waker) {
        let system = self.0.upgrade();
        let recipient = system.as_ref().zip(body::split(next).ok());
        match recipient.map(|(system, (header, _))| Self::recipient(system, server, &header)) {
            Some(Ok(Recipient::Server(server))) => server.wake_with_room(waker),
            // It is not there any more: what is offered now will be refused.
            _ => waker.wake_by_ref(),
        }
    }

    fn call(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes, responder: Responder) {
        let Some(system) = self.0.upgrade() else { return responder.refuse(Refusal::Draining) };
        let (mut header, message) = match body::split(&body) {
            Ok(split) => split,
            Err(error) => return responder.refuse(malformed(from, error)),
        };
        let chain = std::mem::take(&mut header.chain);
        match Self::recipient(&system, server, &header) {
            Ok(Recipient::System) => {
                system.monitors().take_call(&system, &from.node.id, &header, message, responder);
            }
            Ok(Recipient::Server(server)) => {
                let chain = (!chain.is_empty()).then(|| Arc::new(Chain::new(chain.into())));
                server.take_call(Encoded::of(&header, Held::of(&body, message)), chain, responder);
            }
            Err(refusal) => responder.refuse(refusal),
        }
    }
}

fn malformed(from: &Peer, error: HeaderError) -> Refusal {
    tracing::warn!(peer = %from.node, %error, "a message cannot be read");
    refusal::undecodable("", 0)
}
