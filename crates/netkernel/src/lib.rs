//! The mesh: one authenticated, sealed session per pair of nodes.

mod call;
mod config;
mod error;
mod link;
mod mesh;
mod net;
mod node;
mod proto;
mod security;
mod session;
mod transport;

pub use call::{Call, Responder};
pub use config::Config;
pub use error::{CallError, ConnectError, Executed, HandshakeError, Refusal, SendError, Stage};
pub use mesh::{BindError, Kernel, Stopped};
pub use net::{
    BoxFuture, Dispatch, DownReason, Lagged, Net, Peer, PeerEvent, PeerEvents, PeerStatus, Traffic,
};
pub use node::{Address, AddressError, Incarnation, NameError, Node, NodeId, Role, ServerName};
pub use security::{Channel, Cookie, CookieError, Insecure, Noise, Open, RecordError, Seal, Security};
pub use transport::{Connection, Listener, MemoryHost, MemoryNetwork, Tcp, Transport};
