//! A server that deals with a message when it is told to.

use std::fmt;

use bytes::Bytes;
use netkernel::testing::{Asked, Served, Taken};
use netkernel::{BoxFuture, ServerName};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::address::LocalAddr;
use crate::context::Cx;
use crate::error::StartError;
use crate::exit::Stop;
use crate::message::{Outcome, Request, Wire};
use crate::remote::body::{self, Target};
use crate::reply::ReplyTo;
use crate::routes::Routes;
use crate::server::{GenServer, HandleCall, HandleCast};
use crate::system::System;

/// A gen_server for [`netkernel::testing::dispatch`], which holds to its promises whatever passes messages on to a [`System`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use genserver::testing::Gated;
/// use genserver::{Config, System};
/// use netkernel::testing::{LocalMesh, Recorder};
/// use netkernel::{Net, NodeId, ServerName};
///
/// let net = LocalMesh::new().node(NodeId::new("a")?, Arc::new(Recorder::default()));
/// let from = net.local();
/// let system = System::new(Arc::new(net), Config::default().mailbox_messages(40));
/// let mut gated = Gated::start(&system, "gated").await?;
/// netkernel::testing::dispatch(&*system.dispatch(), &from, &ServerName::new("absent")?, &mut gated).await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Gated {
    server: LocalAddr<Gate>,
    name: ServerName,
    turns: mpsc::Sender<oneshot::Sender<Taken>>,
}

impl Gated {
    /// Starts it under a name.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing of the server is left.
    ///
    /// # Panics
    ///
    /// If `name` names no server.
    pub async fn start(system: &System, name: &str) -> Result<Self, StartError> {
        let (sender, turns) = mpsc::channel(1);
        let server = system.spawn(name, Gate { turns }).await?;
        let name = ServerName::new(name).expect("a server has that name");
        Ok(Self { server, name, turns: sender })
    }
}

impl Served for Gated {
    fn name(&self) -> ServerName {
        self.name.clone()
    }

    fn cast_body(&self, number: u32) -> Bytes {
        body::encode(Target::Named, &[], &Tell(number)).expect("a number can be written")
    }

    fn call_body(&self, number: u32) -> Bytes {
        body::encode(Target::Named, &[], &Ask(number)).expect("a number can be written")
    }

    fn reply_body(&self, number: u32) -> Bytes {
        body::encode_reply(&number).expect("a number can be written")
    }

    fn refused_body(&self) -> Option<Bytes> {
        // A layout of no release.
        Some(Bytes::from_static(b"\xffnumber"))
    }

    fn next(&mut self) -> BoxFuture<'_, Taken> {
        Box::pin(async {
            let (turn, taken) = oneshot::channel();
            self.turns.send(turn).await.expect("the server runs");
            taken.await.expect("the server runs")
        })
    }

    fn end(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.server.stop(Stop::Now).await;
        })
    }
}

impl fmt::Debug for Gated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gated").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A cast that says a number.
#[derive(Debug, Serialize, Deserialize)]
struct Tell(u32);

impl Wire for Tell {
    const TAG: &'static str = "tell";
}

/// A call that says one, and is answered with another.
#[derive(Debug, Serialize, Deserialize)]
struct Ask(u32);

impl Request for Ask {
    type Reply = u32;
}

impl Wire for Ask {
    const TAG: &'static str = "ask";
}

/// Deals with a message in each turn that it is given.
struct Gate {
    turns: mpsc::Receiver<oneshot::Sender<Taken>>,
}

impl Gate {
    /// Hands a message over in the next turn whose giver still waits.
    async fn hand_over(&mut self, mut taken: Taken) -> Outcome {
        while let Some(turn) = self.turns.recv().await {
            match turn.send(taken) {
                Ok(()) => break,
                Err(left) => taken = left,
            }
        }
        Outcome::Continue
    }
}

impl GenServer for Gate {
    fn routes(routes: &mut Routes<Self>) {
        routes.cast::<Tell>().call::<Ask>();
    }
}

impl HandleCast<Tell> for Gate {
    async fn cast(&mut self, Tell(number): Tell, _cx: &mut Cx<Self>) -> Outcome {
        self.hand_over(Taken::Cast(number)).await
    }
}

impl HandleCall<Ask> for Gate {
    async fn call(&mut self, Ask(number): Ask, reply: ReplyTo<u32>, _cx: &mut Cx<Self>) -> Outcome {
        self.hand_over(Taken::Call(number, Box::new(Answer(reply)))).await
    }
}

#[derive(Debug)]
struct Answer(ReplyTo<u32>);

impl Asked for Answer {
    fn reply(self: Box<Self>, number: u32) {
        let _goes_on = self.0.send(number);
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    fn cancelled(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.cancelled())
    }
}
