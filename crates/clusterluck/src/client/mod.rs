//! A client of a cluster: it sends and receives, places keys as the members do, and is no member itself.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use clusterluck::{Client, Cluster, netkernel::Cookie};
//!
//! let cookie = Cookie::generate()?;
//! let node = Cluster::builder("node").cookie(cookie.clone()).start().await?;
//!
//! let client = Client::builder().cookie(cookie).seed(node.address().to_string()).connect().await?;
//! assert_eq!(client.ring().owner(b"user:42").expect("the ring has a node").id, node.id());
//! assert_eq!(node.view().members().len(), 1, "the client is no member");
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It follows the ring of one member and goes over to another when that one is gone; it has sessions with the nodes it
//! talks to, and with no others. What it sees is what that member sees: in a partition, one side.

mod builder;
mod follower;
mod handle;
mod known;

pub use builder::{Builder, ConnectError};
pub use follower::FollowError;
pub use handle::Client;
