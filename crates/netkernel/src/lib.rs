//! The mesh: one authenticated, sealed session per pair of nodes, and calls and casts over it.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use bytes::Bytes;
//! use netkernel::{
//!     Config, Cookie, Dispatch, Kernel, Net, NodeId, Noise, Peer, Refusal, Responder, ServerName,
//! };
//!
//! struct Echo;
//!
//! impl Dispatch for Echo {
//!     fn cast(&self, _from: &Arc<Peer>, _to: &ServerName, _body: Bytes) -> Result<(), Refusal> {
//!         Ok(())
//!     }
//!     fn call(&self, _from: &Arc<Peer>, _to: &ServerName, body: Bytes, responder: Responder) {
//!         responder.reply(body);
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let cookie = Cookie::generate()?;
//! let node = |name| {
//!     let config = Config::builder(NodeId::new(name)?, Noise::new(&cookie)).listen("127.0.0.1:0".parse()?).build()?;
//!     Ok::<_, Box<dyn std::error::Error>>(Kernel::bind(config))
//! };
//! let (a, b) = (node("a")?.await?, node("b")?.await?);
//! a.serve(Arc::new(Echo));
//! b.serve(Arc::new(Echo));
//!
//! let b_id = NodeId::new("b")?;
//! a.connect(&b_id, &b.local().address);
//! let reply = a.call(&b_id, &ServerName::new("echo")?, Bytes::from("hello"), Duration::from_secs(5)).await?;
//! assert_eq!(&reply[..], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! | | |
//! |---|---|
//! | delivery | at most once; a message is lost only with the link, and the loss is reported |
//! | order | as sent, for each pair of nodes and destination server, also while one session replaces another |
//! | a call | ends exactly once: reply, refusal, [`CallError::LinkDown`] or its deadline; never sent twice |
//! | [`CallError::executed`] | says whether a failed call may have been carried out |
//! | a full mailbox | its casts wait, and so do their senders, to their deadlines; none is dropped while its session holds |
//! | queues | bounded in messages, bytes and age; a full one says so to the sender, drops are counted by reason |
//! | [`PeerEvent::Down`] | comes after the last message of the node's last session |
//! | a stranger | without the cookie reads and changes no message and no state; what it sees, and can disturb, is in [`threat_model`] |
//!
//! What is lost, and how it shows:
//!
//! | message | when | shown by |
//! |---|---|---|
//! | a cast or call not written when its session is lost | it waits for the next session, up to 30 s or its deadline | [`Dropped::expired`], [`CallError::Timeout`] |
//! | a cast written when its link is lost | the peer may or may not have it | [`PeerEvent::Down`] |
//! | a cast written when its session is lost and another goes on | the peer may or may not have it | [`PeerEvent::Unconfirmed`] |
//! | a large cast partly written when its session is lost | always | [`Dropped::link_lost`] |
//! | a call written when its link is lost | never sent again | [`CallError::LinkDown`] |
//! | a reply whose link is lost | its caller has [`CallError::LinkDown`] already | |
//! | a cast held for a full mailbox when its link is lost | the mailbox is offered it once more | [`Traffic::casts_refused`] |
//! | a message that waited for a peer which turns out to take less | always | [`Dropped::too_large`], [`CallError::TooLarge`] |
//! | a reply over a limit | always | [`Refusal::NoReply`], [`Dropped::replies`] |
//! | a call the callee is executing when its link is lost | never taken back | [`Responder::cancelled`] |
//! | a call of a kernel that is dropped | it ends at once | [`CallError::LinkDown`] if a part was written, else [`CallError::ShuttingDown`] |
//! | a cast to no server, or to a foreign ring | always | [`Traffic::casts_refused_by_peer`] |
//! | a cast sent ahead ([`Net::try_cast_ahead`]) that a full server has no room for | beyond two windows | [`Traffic::casts_refused_by_peer`] |
//! | a message not written when its link is closed: disconnected from, shut down, forgotten | always | [`Dropped::closed`]; of a call [`CallError::NotConnected`] or [`CallError::ShuttingDown`] |
//! | a cast to a peer away, beyond the offline queue | it is handed back, or displaces the oldest | [`SendError::Busy`], [`Dropped::queue_full`] |
//!
//! Nothing here reads a wall clock: waits and deadlines are measured by the monotonic one, a deadline travels as the time
//! that is left, a handshake carries no time, and there are no certificates to expire. What an [`Incarnation`] is made of
//! is its maker's business: of two instances of a node the one that answers stays, whatever their numbers.
//!
//! It does not decide who is a member or whether a node is alive (that is `gossip`), and knows no types: bodies
//! are bytes, given meaning by the layers above (`genserver`). The cookie proves that a peer belongs to the
//! cluster, not which member it is.
//!
//! # Parts
//!
//! ```text
//! Net ─────────▶ link (one a peer): lanes, calls under way, sessions          Dispatch
//!                  │ control, messages, bulk                                     ▲
//!                  ▼                                                             │
//!                writer ── records, sealed ──▶ Transport ──▶ reader ── frames ───┘
//! ```
//!
//! - [`Kernel`] implements [`Net`], what the layers above send by; they receive through [`Dispatch`].
//! - [`Transport`] makes connections: [`Tcp`], or [`MemoryNetwork`] for tests.
//! - [`Security`] makes them safe: [`Noise`] with the cluster's [`Cookie`], or [`Insecure`] by explicit choice.
//! - `proto` is the pure part: frames, interning, reassembly, and the rule which of two sessions stays.
//!
//! - `testing` (feature `test-util`) holds every implementation of these traits to what they promise.
//! - [`wire_v1`] describes every byte that travels, [`threat_model`] what the cookie proves and what it does not.
//!
//! # What is counted
//!
//! [`Net::peers`] shows for every peer its state, incarnation, round trip, what waits in each lane, credit in use, calls,
//! what was sent, received and dropped (by reason), and how often it came back; [`Kernel::refused`] the connections
//! that did not become sessions, by reason. With feature `metrics` the `metrics` facade is told of both, under names that
//! begin with `netkernel_`: counters as they happen, gauges every five seconds. Nodes have a label each (`peer`); clients, which
//! come under ever new ids, share one for their role, and have no gauges. Install the recorder before
//! [`Kernel::bind`]. Handshakes (at level info), links and sessions (at debug) are `tracing` spans with the fields `node` and `peer`. No name, field
//! or message contains a cookie, a key or a body.
//!
//! # Features
//!
//! - `metrics`: see above.
//! - `passphrase`: `Cookie::from_passphrase`, by Argon2id, for where a random cookie cannot be handed out.
//! - `test-util`: conformance suites for implementations of the crate's traits, and a `Net` without a network.
//!
//! An acceptor task takes connections in; a supervisor for each wished-for peer dials; each session has a reader,
//! a writer and a task that watches over both. A small message that is alone is written by its sender's task.
mod call;
mod config;
mod error;
mod events;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod golden;
mod link;
mod mesh;
mod metrics;
mod net;
mod node;
mod proto;
mod security;
mod session;
mod sync;
#[cfg(feature = "test-util")]
pub mod testing;
mod told;
mod transport;

pub use call::{Call, Responder};
pub use config::{Builder, Config, ConfigError, OfflinePolicy};
pub use error::{CallError, ConnectError, Executed, HandshakeError, Refusal, SendError, Stage};
pub use events::{Lagged, PeerEvents};
pub use mesh::{BindError, Kernel, RefusedReason, Stopped};
pub use net::{
    Accepted, BoxFuture, Dispatch, DownReason, Dropped, Net, Peer, PeerEvent, PeerState, PeerStatus, Queued,
    Traffic,
};
pub use node::{Address, AddressError, Incarnation, NameError, Node, NodeId, Role, ServerName};
#[cfg(feature = "passphrase")]
pub use security::PassphraseError;
pub use security::{
    Channel, Cookie, CookieError, Insecure, Noise, Open, RecordError, Revealed, Seal, Security,
};
pub use transport::{Connection, Listener, MemoryHost, MemoryNetwork, Tcp, Transport};

#[doc = include_str!("../docs/wire-v1.md")]
pub mod wire_v1 {}

#[doc = include_str!("../docs/threat-model.md")]
pub mod threat_model {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
