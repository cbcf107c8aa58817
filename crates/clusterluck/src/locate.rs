//! Keys to nodes, by the ring.

use genserver::{Addr, GenServer, Locate, Located};
use gossip::{Preference, RingMember};
use hashring::HashRing;

use crate::client::Client;
use crate::cluster::Cluster;

/// By the ring as this node sees it now. Members that are down keep their places.
impl Locate for Cluster {
    fn locate(&self, key: &[u8], count: usize) -> Located {
        located(self.view().ring(), key, count)
    }
}

/// By the ring as the member that is followed sees it now.
impl Locate for Client {
    fn locate(&self, key: &[u8], count: usize) -> Located {
        located(&self.ring(), key, count)
    }
}

fn located(ring: &HashRing<RingMember>, key: &[u8], count: usize) -> Located {
    let nodes = ring.replicas(key, count).map(|member| member.id.clone()).collect();
    Located { nodes, layout: *ring.fingerprint().as_bytes() }
}

impl Cluster {
    /// The gen_servers named `name` on the nodes that hold a key, up to `count`: the owner's first, then those of the
    /// replicas, to be asked in turn.
    ///
    /// ```
    /// # use clusterluck::genserver::*;
    /// # use clusterluck::{Cluster, netkernel::Cookie};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Visit(String);
    /// # impl Request for Visit { type Reply = u64; }
    /// # impl Wire for Visit { const TAG: &'static str = "visit"; }
    /// # struct Visits(u64);
    /// # impl GenServer for Visits { fn routes(routes: &mut Routes<Self>) { routes.call::<Visit>(); } }
    /// # impl HandleCall<Visit> for Visits {
    /// #     async fn call(&mut self, _: Visit, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome {
    /// #         self.0 += 1;
    /// #         reply.send(self.0)
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder("one").cookie(Cookie::generate()?).start().await?;
    /// # cluster.spawn("visits", Visits(0)).await?;
    /// let visits = cluster.addrs_of_key::<Visits>(b"user:42", 1, "visits");
    /// let owners = visits.first().expect("the ring has members");
    /// assert_eq!(owners.call(Visit("user:42".into())).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn addrs_of_key<S: GenServer>(&self, key: &[u8], count: usize, name: &str) -> Vec<Addr<S>> {
        self.servers().addrs_of_key(self, key, count, name)
    }
}

/// A gen_server on one of the nodes that hold a key.
#[derive(Debug)]
pub struct Replica<S: GenServer> {
    /// The gen_server.
    pub addr: Addr<S>,
    /// Whether to ask it: its node takes part, is not about to stop, and is not down. One that is not up keeps its place, and
    /// a caller passes it over for the next.
    pub up: bool,
}

impl Cluster {
    /// Like [`addrs_of_key`](Self::addrs_of_key), each with whether its node is up as far as this one can tell, so that a
    /// caller need not wait for what most likely does not answer.
    #[must_use]
    pub fn replicas_of_key<S: GenServer>(&self, key: &[u8], count: usize, name: &str) -> Vec<Replica<S>> {
        let view = self.view();
        let replica = |preference: Preference<'_>| Replica {
            addr: self.addr(&preference.member.id, name),
            up: preference.up,
        };
        view.preference(key, count).map(replica).collect()
    }
}

impl Client {
    /// The gen_servers named `name` on the nodes that hold a key, up to `count`: the owner's first. A session is kept
    /// with each of these nodes from now on.
    #[must_use]
    pub fn addrs_of_key<S: GenServer>(&self, key: &[u8], count: usize, name: &str) -> Vec<Addr<S>> {
        self.locate(key, count).nodes.iter().map(|node| self.addr(node, name)).collect()
    }
}
