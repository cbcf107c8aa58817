//! Where the servers of a key are.

use netkernel::NodeId;

use crate::address::Addr;
use crate::server::GenServer;
use crate::system::System;

/// Which nodes answer for a key: what this layer wants to know of whoever places keys. The umbrella crate answers it
/// from the hash ring.
///
/// Answers come from what is known on this node, at once, and may be out of date a moment later: the node that is
/// asked may know better, and says [`NotOwner`](crate::CallError::NotOwner).
///
/// Implementations are tested by [`testing::locate`](crate::testing::locate).
pub trait Locate: Send + Sync {
    /// Up to `count` different nodes for `key`, the owner first, then those that stand in for it, in order. A longer
    /// answer begins with the shorter one.
    fn locate(&self, key: &[u8], count: usize) -> Located;
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The owner first; none if nobody answers for any key.
    pub nodes: Vec<NodeId>,
    /// Identifies the placement of all keys: nodes whose layouts are equal place every key alike.
    pub layout: [u8; 32],
}

impl Located {
    /// The node that answers for the key.
    #[must_use]
    pub fn owner(&self) -> Option<&NodeId> {
        self.nodes.first()
    }
}

impl System {
    /// The servers named `name` on the nodes of a key, up to `count`, the owner's first: ask them in turn.
    ///
    /// ```
    /// # use genserver::*;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Clone, Serialize, Deserialize)] struct Get(String);
    /// # impl Request for Get { type Reply = Option<u64>; }
    /// # impl Wire for Get { const TAG: &'static str = "get"; }
    /// # struct Store;
    /// # impl GenServer for Store { fn routes(routes: &mut Routes<Self>) { routes.call::<Get>(); } }
    /// # impl HandleCall<Get> for Store {
    /// #     async fn call(&mut self, _: Get, reply: ReplyTo<Option<u64>>, _: &mut Cx<Self>) -> Outcome {
    /// #         reply.send(Some(7))
    /// #     }
    /// # }
    /// async fn read(system: &System, ring: &dyn Locate, key: &str) -> Result<Option<u64>, CallError> {
    ///     let mut outcome = Err(CallError::NoReply);
    ///     for store in system.addrs_of_key::<Store>(ring, key.as_bytes(), 3, "store") {
    ///         outcome = store.call(Get(key.into())).await;
    ///         if outcome.is_ok() {
    ///             break;
    ///         }
    ///     }
    ///     outcome
    /// }
    /// # struct Alone(NodeId);
    /// # impl Locate for Alone {
    /// #     fn locate(&self, _: &[u8], count: usize) -> Located {
    /// #         Located { nodes: [self.0.clone()].into_iter().take(count).collect(), layout: [0; 32] }
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let system = System::local();
    /// # system.spawn("store", Store).await?;
    /// # assert_eq!(read(&system, &Alone(system.node().clone()), "user:42").await?, Some(7));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn addrs_of_key<S: GenServer>(
        &self,
        locate: &dyn Locate,
        key: &[u8],
        count: usize,
        name: impl AsRef<str>,
    ) -> Vec<Addr<S>> {
        locate.locate(key, count).nodes.iter().map(|node| self.addr(node, name.as_ref())).collect()
    }
}
