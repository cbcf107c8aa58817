//! Decentralised clusters: gossip membership, a consistent hash ring, gen_servers and an authenticated mesh.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use clusterluck::{Cluster, netkernel::Cookie};
//!
//! let cookie = Cookie::generate()?;
//! let one = Cluster::builder("one").cookie(cookie.clone()).start().await?;
//! let two = Cluster::builder("two").cookie(cookie).start().await?;
//! two.meet(one.address().to_string()).await?;
//!
//! // Both place keys alike, and nobody had to be asked.
//! assert_eq!(two.view().ring().len(), 2);
//! let owner = two.view().ring().owner(b"user:42").expect("the ring has members").id.clone();
//! assert!(["one", "two"].contains(&owner.as_str()));
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Cluster`] is one node: its end of the mesh, its gossip, its gen_servers, and the control server that the
//! `clusterluck` command line talks to. Everything is reached by layers, each a crate of its own and re-exported
//! here: [`netkernel`], [`gossip`], [`genserver`], [`hashring`] and [`vclock`].
//!
//! It is not a consensus system: both sides of a partition accept writes and merge later. It is not a database:
//! state lives in gen_servers, and the ring says which node's.
//!
//! Parts: [`Builder`] sets a node up; [`Cluster`] is its handle, [`Events`] what happens on it; [`Client`] talks to a
//! cluster without being a member; [`control`] operates a node from outside.

mod builder;
pub mod client;
mod cluster;
pub mod control;
mod events;
mod journal;
mod locate;
pub mod metrics;
mod router;
mod seeds;
mod told;
pub mod user_cookie;

pub use builder::{Builder, StartError};
pub use client::Client;
pub use cluster::{Cluster, MeetError};
pub use events::{Event, Events};
pub use genserver;
pub use gossip;
pub use hashring;
pub use locate::Replica;
pub use netkernel;
pub use vclock;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
