//! Operating a node from outside: the control server and its client.

mod changes;
mod client;
mod failure;
pub(crate) mod growing;
mod live;
mod protocol;
mod server;
mod waiting;

pub(crate) use client::ask;
pub use client::{Client, ClientError};
pub use failure::Failure;
pub use live::{Follow, Followed, Place, RingNodeInfo, Watch, Watched, WatchedEvent};
pub use protocol::{
    COMMANDS, Command, Done, Get, Has, Info, Insert, Inspect, InspectedMember, Inspection, Join, Leave,
    LinkInfo, Meet, MemberInfo, Members, Metrics, NodeInfo, NodeReport, Nodes, Owner, Ping, Remove,
    ServerInfo, Servers, Update, Weight, Weights,
};
pub(crate) use server::{Operated, Server};
