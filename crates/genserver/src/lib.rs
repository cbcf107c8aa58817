//! gen_servers for tokio: a state, typed calls and casts handled one at a time, on this node and others alike.
//!
//! ```
//! use genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, System, Wire};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Say(String);
//!
//! impl Request for Say {
//!     type Reply = String;
//! }
//!
//! impl Wire for Say {
//!     const TAG: &'static str = "say"; // what other nodes know it by
//! }
//!
//! struct Echo;
//!
//! impl GenServer for Echo {
//!     fn routes(routes: &mut Routes<Self>) {
//!         routes.call::<Say>(); // what other nodes may send
//!     }
//! }
//!
//! impl HandleCall<Say> for Echo {
//!     async fn call(&mut self, Say(text): Say, reply: ReplyTo<String>, _cx: &mut Cx<Self>) -> Outcome {
//!         reply.send(text)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let system = System::local(); // or System::new(kernel, config), to talk to other nodes
//!     let echo = system.spawn("echo", Echo).await?;
//!     assert_eq!(echo.call(Say("hello".into())).await?, "hello");
//!
//!     let anywhere = system.addr::<Echo>(system.node(), "echo"); // any node, by name
//!     assert_eq!(anywhere.call(Say("hello".into())).await?, "hello");
//!     Ok(())
//! }
//! ```

mod address;
mod chain;
mod config;
mod context;
mod deadline;
mod envelope;
mod error;
mod exit;
mod introspect;
mod lock;
mod mailbox;
mod message;
mod monitor;
mod pid;
mod process;
mod registry;
mod remote;
mod reply;
mod routes;
mod runloop;
mod scope;
mod seat;
mod server;
mod slot;
mod spawn;
mod supervisor;
mod sync;
mod system;
mod timer;

pub use address::{Addr, Call, Cast, LocalAddr, Multicall};
pub use chain::Path;
pub use config::Config;
pub use context::Cx;
pub use error::{CallError, CastError, CastFailure, Stage, StartError};
pub use exit::{Exit, Stop};
pub use introspect::{Handling, ServerInfo};
pub use message::{Outcome, Request, Wire};
pub use monitor::{Down, DownReason, Info, MonitorRef, Watch};
pub use netkernel::{Executed, Incarnation, NodeId};
pub use pid::Pid;
pub use reply::ReplyTo;
pub use routes::Routes;
pub use server::{GenServer, HandleCall, HandleCast, InitError};
pub use spawn::Spawn;
pub use supervisor::{Child, ChildInfo, Children, Restart, StartChild, StopChild, Strategy, Supervisor};
pub use system::{Stopped, System};
pub use timer::Timer;
