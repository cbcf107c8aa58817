//! Membership that loses nothing: a causal member map replicated by gossip, and the ring derived from it.
//!
//! ```
//! use std::sync::{Arc, OnceLock};
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use gossip::{Config, Gossip, MemoryStore, RingName};
//! use netkernel::{Cookie, Dispatch, Kernel, Net, NodeId, Noise, Peer, Refusal, Responder, ServerName};
//!
//! /// Hands gossip's messages to gossip.
//! #[derive(Default)]
//! struct Door(OnceLock<Gossip>);
//!
//! impl Dispatch for Door {
//!     fn cast(&self, from: &Arc<Peer>, _server: &ServerName, body: Bytes) -> Result<(), Refusal> {
//!         self.0.get().ok_or(Refusal::NoProc)?.deliver(from, body)
//!     }
//!     fn call(&self, _: &Arc<Peer>, _: &ServerName, _: Bytes, responder: Responder) {
//!         responder.refuse(Refusal::NoProc);
//!     }
//! }
//!
//! async fn start(id: &str, cookie: &Cookie) -> Result<(Kernel, Gossip), Box<dyn std::error::Error>> {
//!     let kernel = netkernel::Config::builder(NodeId::new(id)?, Noise::new(cookie)).listen("127.0.0.1:0".parse()?);
//!     let kernel = Kernel::bind(kernel.build()?).await?;
//!     let config = Config::builder().ring(RingName::new("ring")?).build()?;
//!     let gossip = Gossip::start(Arc::new(kernel.clone()), config, Arc::new(MemoryStore::new())).await?;
//!     let door = Door(OnceLock::from(gossip.clone()));
//!     kernel.serve(Arc::new(door));
//!     Ok((kernel, gossip))
//! }
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
//! let cookie = Cookie::generate()?;
//! let (_a_net, a) = start("a", &cookie).await?;
//! let (b_net, b) = start("b", &cookie).await?;
//! a.watch().until(|view| view.ring_name().is_some()).await.ok_or("stopped")?;
//!
//! a.meet(&b_net.local().address).await?;
//! let view = a.view();
//! assert_eq!(view.members().len(), 2);
//! let owner = view.ring().owner(b"user:42").ok_or("the ring is empty")?;
//! println!("user:42 belongs to {} at {}", owner.id, owner.address);
//!
//! let operation = b.update(&NodeId::new("a")?, 320).await?;
//! b.propagated(operation, gossip::Reach::All, Duration::from_secs(5)).await?;
//! assert_eq!(a.view().ring().fingerprint(), b.view().ring().fingerprint());
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Keep rings apart
//!
//! A ring is its name under its cookie, and nothing else identifies it. Nodes of one cookie and one name become one
//! ring as soon as any two of them meet, whatever their histories: nothing asks whether that was meant. **Clusters that
//! must stay apart get different names or different cookies.** What must match within a ring because keys would move,
//! the [layout seed](Builder::layout_seed), is checked in every frame, and nodes that differ refuse each other.
//!
//! # What is promised, and what is not
//!
//! *Eventual* agreement, with nothing lost and nothing resurrected: every change that any node was told has happened is
//! known to all in the end, two changes made at the same time are both kept, and a member that was removed comes back
//! by a new decision only. Changes are on disk before anyone hears of them. How far a change has spread can be asked
//! ([`Gossip::propagated`]), and [`Event::Converged`] tells when all members have said they agree.
//!
//! This is no consensus. While the network is split both sides accept changes, their rings differ, and both merge when
//! it heals. What the two sides said of *one* node is then decided the same way everywhere, is shown as
//! [`Event::Conflict`], and stays visible until a later write settles it:
//!
//! ```text
//!      a ──────┬── insert x, weight 80 ───────────┬──────────────▶  x is a member, weight 80
//!              │ (neither has heard of the other) │  they merge
//!      b ──────┴── insert y ──────────────────────┴──────────────▶  and so is y: two nodes, no conflict
//!
//!      a ──────┬── update x, weight 40 ───────────┬──────────────▶  x is removed: a removal beats what did not
//!              │ (neither has heard of the other) │  they merge     know of it, though it be later by the clock
//!      b ──────┴── remove x ──────────────────────┴──────────────▶  …until someone inserts x again
//!
//!      a ─── remove x ── insert x again ──────────┬──────────────▶  x is a member: the insert knew of a removal
//!                (incarnation 8, above the one    │  they merge     and is above every removal of that run
//!                 that was removed)               │
//!      b ─── remove x (incarnation 7) ────────────┴──────────────▶  and so does b see it: both say the same
//! ```
//!
//! Which members are alive is a matter of its own, beside the roster and never in it: [`liveness`]. A member whose
//! process died stays a member, which is right for a restart and for keys, unless a
//! [removal policy](liveness::RemovalPolicy) says otherwise.
//!
//! # How it works
//!
//! - The **roster** holds for each node its dotted versions: any member may write it, concurrent writes stand side by
//!   side, and a later one replaces those it saw. A removal is a version like any other.
//! - The **self plane** holds what each node says of itself: where it listens, which run it is, whether it is draining.
//!   An inserted node is [joining](Status::Joining) and owns no keys until it was heard from.
//! - A change goes out as a **rumour** at once; once a second a node compares itself with a random member, hash against
//!   hash, and whatever a rumour missed is found. [`message`] teaches the protocol.
//! - The **ring** is derived from the roster and published as an immutable [`View`]: readers never wait.
//!
//! # Module map
//!
//! - [`Gossip`] is the handle: operations, views, events. [`Config`] says how, [`Store`] keeps the state.
//! - [`liveness`]: who is alive, and what follows from it.
//! - [`Report`]: what a node counts, for operators.
//! - [`message`]: the wire.
//! - [`proto`]: the pure core, a state machine without clock, disk, network or randomness.
#![cfg_attr(feature = "sim", doc = "- [`sim`]: the simulator and its oracle.")]
#![cfg_attr(not(feature = "sim"), doc = "- `sim`, with that feature: the simulator and its oracle.")]
//! - `driver`, `publisher`, `inbox`, `clock`: one task runs the core over a [`netkernel::Net`].
//!
//! # Features
//!
//! - `sim`: the simulator, for one's own stories and for `cargo xtask sim`.

mod clock;
mod config;
mod driver;
mod error;
mod event;
mod handle;
mod inbox;
pub mod message;
pub mod proto;
mod publisher;
mod readers;
mod report;
mod ring_name;
#[cfg(feature = "sim")]
pub mod sim;
mod store;
mod view;

pub use config::{Builder, Config, ConfigError};
pub use error::{
    AnnounceError, InsertError, JoinError, LeaveError, MeetError, PropagationError, RemoveError, StartError,
    Unavailable, UpdateError,
};
pub use event::{Cause, Event};
pub use handle::{Gossip, ShutdownError, server_name};
pub use message::{FrameError, InviteRefusal};
pub use proto::liveness;
pub use proto::{Affiliation, Insertion, Operation, Overdue, Reach, Standing, Stats};
pub use readers::{Events, MissedEvents, Views};
pub use report::Report;
pub use ring_name::{RingName, RingNameError};
pub use store::{FileStore, MemoryStore, Store, StoreError};
pub use view::{Member, Preference, RingMember, Status, View};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
