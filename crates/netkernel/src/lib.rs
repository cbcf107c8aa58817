//! The mesh: one authenticated, sealed session per pair of nodes.

mod call;
mod error;
mod net;
mod node;

pub use call::{Call, Responder};
pub use error::{CallError, ConnectError, Executed, HandshakeError, Refusal, SendError, Stage};
pub use net::{
    BoxFuture, Dispatch, DownReason, Lagged, Net, Peer, PeerEvent, PeerEvents, PeerStatus, Traffic,
};
pub use node::{Address, AddressError, Incarnation, NameError, Node, NodeId, Role, ServerName};
