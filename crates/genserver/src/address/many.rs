//! One message to the servers of one name on many nodes, encoded once.

use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use netkernel::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::addr::Addr;
use super::call::{Call, Limit};
use super::destination::{Unsendable, Writer, reader};
use crate::error::{CallError, CastFailure};
use crate::message::{Request, Wire};
use crate::scope;
use crate::server::{GenServer, HandleCall, HandleCast};
use crate::system::System;

impl System {
    /// Calls the server of that name on each of the nodes, all at once. Await it for every node's own result, in the
    /// order of `nodes`; one failure does not touch the others.
    ///
    /// ```
    /// # use genserver::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Serialize, Deserialize)] struct Load;
    /// # impl Request for Load { type Reply = u32; }
    /// # impl Wire for Load { const TAG: &'static str = "load"; }
    /// # struct Meter;
    /// # impl GenServer for Meter { fn routes(routes: &mut Routes<Self>) { routes.call::<Load>(); } }
    /// # impl HandleCall<Load> for Meter {
    /// #     async fn call(&mut self, _: Load, reply: ReplyTo<u32>, _: &mut Cx<Self>) -> Outcome { reply.send(3) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), StartError> {
    /// # let system = System::local();
    /// # system.spawn("meter", Meter).await?;
    /// # let nodes = [system.node().clone()];
    /// for (node, load) in system.multicall::<Meter, _>(&nodes, "meter", Load).await {
    ///     match load {
    ///         Ok(load) => println!("{node}: {load}"),
    ///         Err(error) => println!("{node}: {error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn multicall<S, M>(&self, nodes: &[NodeId], name: impl AsRef<str>, message: M) -> Multicall<S, M>
    where
        S: HandleCall<M>,
        M: Request + Wire + Clone,
    {
        let addrs = nodes.iter().map(|node| self.addr(node, name.as_ref())).collect();
        Multicall { system: self.clone(), addrs, message, limit: Limit::Default, server: PhantomData }
    }

    /// Casts to the server of that name on each of the nodes, without waiting. Gives the nodes it was not sent to,
    /// and why.
    pub fn abcast<S, M>(
        &self,
        nodes: &[NodeId],
        name: impl AsRef<str>,
        message: &M,
    ) -> Vec<(NodeId, CastFailure)>
    where
        S: HandleCast<M>,
        M: Wire + Clone,
    {
        let writer = Writer::<M>::new();
        let mut encoded = None;
        let mut failed = Vec::new();
        for node in nodes {
            let addr: Addr<S> = self.addr(node, name.as_ref());
            let sent = if addr.is_here() {
                addr.try_cast(message.clone()).map_err(|error| error.reason().clone())
            } else {
                let destination = addr.destination();
                let body = encoded.get_or_insert_with(|| {
                    destination.prepare(writer, None, message).map(|outgoing| outgoing.body)
                });
                match destination.reuse(body.as_ref()) {
                    Ok(outgoing) => outgoing
                        .net
                        .try_cast(node, outgoing.name, outgoing.body)
                        .map_err(|error| destination.send_failure(error, writer)),
                    Err(why) => Err(destination.cast_failure(why, writer)),
                }
            };
            if let Err(failure) = sent {
                failed.push((node.clone(), failure));
            }
        }
        failed
    }
}

/// Calls to many nodes, from [`System::multicall`]. Await them.
#[must_use = "nothing is sent unless it is awaited"]
pub struct Multicall<S, M> {
    system: System,
    addrs: Vec<Addr<S>>,
    message: M,
    limit: Limit,
    server: PhantomData<fn(S)>,
}

impl<S, M> Multicall<S, M> {
    /// How long to wait for the replies, instead of what the [`Config`](crate::Config) says.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = Limit::After(timeout);
        self
    }
}

/// One of the calls, or how it ended.
enum Branch<M: Request> {
    Calling(Call<M>),
    Ended(Result<M::Reply, CallError>),
}

impl<S, M> Multicall<S, M>
where
    S: HandleCall<M>,
    M: Request + Wire + Clone,
    M::Reply: Serialize + DeserializeOwned,
{
    async fn run(self) -> Vec<(NodeId, Result<M::Reply, CallError>)> {
        let inherited = scope::inherited();
        let remaining = self.limit.remaining(self.system.config(), inherited.deadline);
        let writer = Writer::<M>::new();
        let mut encoded: Option<Result<Bytes, Unsendable>> = None;
        let mut branches = Vec::with_capacity(self.addrs.len());
        for addr in &self.addrs {
            if addr.is_here() {
                branches.push(Branch::Calling(addr.call(self.message.clone()).timeout(remaining)));
                continue;
            }
            let destination = addr.destination();
            let body = encoded.get_or_insert_with(|| {
                let prepared = destination.prepare(writer, inherited.waiting.as_deref(), &self.message);
                prepared.map(|outgoing| outgoing.body)
            });
            let call = match destination.reuse(body.as_ref()) {
                Ok(outgoing) => {
                    let call = outgoing.net.call(&destination.node, outgoing.name, outgoing.body, remaining);
                    Call::sent(call, destination.clone(), Writer::new(), reader::<M>())
                }
                Err(why) => Call::failed(destination.unsendable(why, writer)),
            };
            branches.push(Branch::Calling(call));
        }
        poll_fn(|context| poll_all(&mut branches, context)).await;
        let ended = branches.into_iter().map(|branch| match branch {
            Branch::Ended(outcome) => outcome,
            Branch::Calling(_) => unreachable!("all have ended"),
        });
        self.addrs.iter().map(|addr| addr.node().clone()).zip(ended).collect()
    }
}

fn poll_all<M: Request>(branches: &mut [Branch<M>], context: &mut Context<'_>) -> Poll<()> {
    let mut all = Poll::Ready(());
    for branch in branches {
        if let Branch::Calling(call) = branch {
            match Pin::new(call).poll(context) {
                Poll::Ready(outcome) => *branch = Branch::Ended(outcome),
                Poll::Pending => all = Poll::Pending,
            }
        }
    }
    all
}

/// # Cancel safety
///
/// As of each [`Call`].
impl<S, M> IntoFuture for Multicall<S, M>
where
    S: HandleCall<M>,
    M: Request + Wire + Clone + Sync,
    M::Reply: Serialize + DeserializeOwned,
{
    type Output = Vec<(NodeId, Result<M::Reply, CallError>)>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<S: GenServer, M> fmt::Debug for Multicall<S, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Multicall").field("addrs", &self.addrs).finish_non_exhaustive()
    }
}
