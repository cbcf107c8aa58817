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
//!
//! A server of another node is called the same way: give the system a kernel, and name the node.
//!
//! ```
//! # use genserver::{Config, Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, System, Wire};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)] struct Say(String);
//! # impl Request for Say { type Reply = String; }
//! # impl Wire for Say { const TAG: &'static str = "say"; }
//! # struct Echo;
//! # impl GenServer for Echo { fn routes(routes: &mut Routes<Self>) { routes.call::<Say>(); } }
//! # impl HandleCall<Say> for Echo {
//! #     async fn call(&mut self, Say(text): Say, reply: ReplyTo<String>, _: &mut Cx<Self>) -> Outcome { reply.send(text) }
//! # }
//! # use std::{sync::Arc, time::Duration};
//! # use netkernel::{Cookie, Kernel, Net, NodeId, Noise};
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let cookie = Cookie::generate()?;
//! # let bind = |id| Ok::<_, Box<dyn std::error::Error>>(Kernel::bind(
//! #     netkernel::Config::builder(NodeId::new(id)?, Noise::new(&cookie)).listen("127.0.0.1:0".parse()?).build()?));
//! # let (ash, birch) = (bind("ash")?.await?, bind("birch")?.await?);
//! let here = System::new(Arc::new(ash.clone()), Config::default());
//! ash.serve(here.dispatch());
//! # let there = System::new(Arc::new(birch.clone()), Config::default());
//! # birch.serve(there.dispatch());
//! # there.spawn("echo", Echo).await?;
//! # let birch = birch.local();
//! ash.dial(&birch.address, Some(&birch.id), Duration::from_secs(5)).await?;
//!
//! let echo = here.addr::<Echo>(&birch.id, "echo");
//! assert_eq!(echo.call(Say("hello".into())).await?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! The [examples] go on from there: a counter that answers later, a supervised pool, a monitor that reacts to the death
//! of a node, a message that gains a field.
//!
//! [examples]: https://docs.rs/crate/clusterluck-genserver/latest/source/examples/
//!
//! # What is promised
//!
//! | | |
//! |---|---|
//! | order | as sent, from each sender to each server: a sender is a server, or a task that awaits one message before the next. Nothing is promised between different senders, nor between replies |
//! | handlers | one at a time; while one awaits, no other runs. What the system says ([`Info`], timers, results of tasks) comes before ordinary messages |
//! | delivery | at most once. A cast that was accepted on this node is handled unless the server ends first. One accepted for another node waits there while the mailbox is full (and its senders wait for credit), is lost with the link, and dropped and counted where nobody has the name. Nothing is ever sent twice |
//! | a call | ends exactly once: reply, [`CallError`], deadline, or its future is dropped. [`CallError::executed`] says whether it may have been carried out |
//! | deadlines | 5 s unless [`timeout`](Call::timeout) says otherwise. A call made in a handler, or in a task of it, never outlasts the one being handled. Kept to a millisecond |
//! | late replies | go nowhere: a slot takes one answer, and the number of a call between nodes is never used twice |
//! | a caller who leaves | is known to the handler ([`ReplyTo::cancelled`]); if it left before the handler began, it does not begin |
//! | circles | a call that would wait for itself, over any number of nodes, is refused as [`CallError::Cycle`]. Calls that cross (a calls b while b calls a) are not one; they end by their deadlines |
//! | mailboxes | bounded ([`Config::mailbox_messages`], [`Config::mailbox_bytes`]): a cast waits or comes back, a call waits (here) or is [`Overloaded`](CallError::Overloaded) (elsewhere) |
//! | panics | end the server they happen in, as [`Exit::Panicked`], and nothing else |
//! | monitors | tell of an end exactly once. `NoConnection` means that the session was lost, not that the server ended |
//! | names | belong to one server of a node at a time, and are free when [`stop`](LocalAddr::stop) returns. A server that its supervisor starts again is without its name for a moment, in which callers get `NoProc`, not executed; [`System::wait_for`] waits for it |
//!
//! # What to do about each error
//!
//! First ask [`executed`](CallError::executed): after `No` it is safe to ask again, after `Maybe` only what may happen
//! twice.
//!
//! | | what happened | what to do |
//! |---|---|---|
//! | `Timeout` | no reply in time; its [`Stage`] tells how far it had come | `Queued`: ask again, later. Else look first whether it was done |
//! | `NoProc` | nobody has that name, or that one instance has ended | start it; or, if its supervisor does, [wait for it](System::wait_for) here, ask again there |
//! | `LinkDown` | the session was lost with the call under way | look whether it was done; the kernel dials again by itself |
//! | `NodeDown` | the address belongs to an earlier run of the node | get a new address |
//! | `NotConnected` | there is no link to the node | connect to it, or wait for it ([`Cx::watch_nodes`]) |
//! | `Overloaded` | the mailbox or the queue towards it is full | ask later, and less |
//! | `TooLarge` | over the limit of one message | send it in parts |
//! | `Encode` | `Serialize` failed | mend the message |
//! | `Decode` | the two nodes disagree about the message's shape | give the new shape a new version |
//! | `Reply` | carried out, but its reply could not be written or read | as `Decode`, for the reply; do not ask again |
//! | `Unsupported` | no route for this tag and version | list it in `routes`, or ask in a version it knows |
//! | `NoReply` | the handler let go of its `ReplyTo` | mend the server; it may have done the work |
//! | `Exited` | the server ended first; says how | its supervisor starts it again: [wait for it](System::wait_for), ask again if it may happen twice |
//! | `Draining` | it is shutting down | ask another |
//! | `NotOwner` | another node owns the key | ask that one |
//! | `Cycle` | the call would wait for itself; names the servers | answer from [`Cx::cast_when`], or cast |
//! | `Refused` | the node takes nothing from this one | check ring and role |
//!
//! # Coming from Erlang
//!
//! | Erlang/OTP | here |
//! |---|---|
//! | `gen_server:start_link({local, echo}, …)` | [`System::spawn`]`("echo", Echo)`; linked by a [`Supervisor`] |
//! | `init/1` | the value itself, and [`GenServer::init`] for what needs the server to exist |
//! | `handle_call/3`, `{reply, R, S}` | [`HandleCall<M>`](HandleCall), [`reply.send(r)`](ReplyTo::send) |
//! | `{noreply, S}` and `gen_server:reply/2` later | keep the [`ReplyTo`], [`Outcome::Continue`] |
//! | `handle_cast/2`, `handle_info/2` | [`HandleCast<M>`](HandleCast), [`GenServer::info`] |
//! | `{stop, normal, S}`, `{stop, Reason, S}` | [`Outcome::Stop`], [`Outcome::fail`] |
//! | `terminate/2` | [`GenServer::terminate`]; not after a panic |
//! | `gen_server:call(S, M, T)` | `s.call(m).timeout(t).await`: a failure is a value, never an exit |
//! | `gen_server:cast/2` | `s.cast(m).await`, which waits for room, or [`try_cast`](LocalAddr::try_cast) |
//! | `{Name, Node}`, a pid | [`System::addr`], [`LocalAddr::addr`]; both are [`Addr`], and can be sent |
//! | `multi_call`, `abcast` | [`System::multicall`] (a result for each node), [`System::abcast`] |
//! | `monitor/2`, `'DOWN'` | [`Cx::monitor`], [`Info::Down`] |
//! | `net_kernel:monitor_nodes/1` | [`Cx::watch_nodes`] |
//! | `send_after`, `timer:send_interval` | [`Cx::cast_after`], [`Cx::cast_every`] |
//! | `whereis/1`, `gproc:await/2` | [`System::whereis`], [`System::wait_for`] |
//! | `sys:suspend/1`, `process_info/1` | [`LocalAddr::pause`], [`LocalAddr::info`] |
//! | `supervisor`, its strategies and intensity | [`Supervisor`], [`Strategy`], [`Supervisor::intensity`] |
//! | links, `trap_exit`, selective receive, hot code loading | there are none: monitors and supervisors, deferred replies, versions of messages |
//!
//! # Coming from tokio
//!
//! | by hand | here |
//! |---|---|
//! | a task around `while let Some(message) = receiver.recv().await` | [`System::spawn`]: the task, its mailbox and its name |
//! | an enum of all messages | a type for each, with its own handler and its own reply |
//! | a `oneshot::Sender` in the message | [`ReplyTo`]; dropped, the caller gets an error that says why |
//! | `sender.send(m).await`, `sender.try_send(m)` | `s.cast(m).await`, [`s.try_cast(m)`](LocalAddr::try_cast) |
//! | `timeout(t, receiver).await` | `s.call(m).timeout(t).await`; 5 s if nothing is said |
//! | `select!` over timers and other work | [`Cx::cast_after`], [`Cx::cast_every`], [`Cx::cast_when`]: they come back as messages |
//! | the last sender is dropped, the task ends | a server runs until it stops or is [stopped](LocalAddr::stop); addresses keep nothing alive |
//! | `JoinHandle`, `JoinError` | [`LocalAddr::ended`], [`Cx::monitor`], a [`Supervisor`] that starts it again |
//! | `Arc<Mutex<State>>` | `&mut self`: one handler at a time, and no lock to hold across an await |
//! | a blocking call | `spawn_blocking` inside [`Cx::cast_when`] |
//!
//! # Coming from the original
//!
//! | Clusterluck for node.js | here |
//! |---|---|
//! | `new GenServer(kernel)`, `start(name)` | [`System::spawn`]; a taken name is [`StartError::AlreadyRegistered`] |
//! | `on("event", (data, from) => …)` | [`HandleCall`] or [`HandleCast`] for a type, listed in [`GenServer::routes`] |
//! | `call({node, id}, event, data, cb, timeout)` | [`System::addr`]`(…).call(message).timeout(…).await`; 5 s, not for ever |
//! | `reply(from, data)` | [`ReplyTo::send`], once, checked by the compiler |
//! | `cast`, `abcast`, `multicall` | the same; one node's failure does not fail the others |
//! | `pause`, `resume`, `idle` | the same, of [`LocalAddr`] |
//! | `stop(force)` | [`LocalAddr::stop`]`(`[`Stop::graceful`]` or `[`Stop::Now`]`)` |
//! | a key's node from the ring, then a call to it | [`System::addrs_of_key`], by any [`Locate`] |
//! | streams of data | not yet: messages up to the kernel's limit |
//!
//! # What can be seen
//!
//! [`System::servers`] lists every server: its name and type, how many messages wait and fit, how many it has handled, how
//! long it has run, whether it is paused, and which message its handler awaits on, and for how long ([`ServerInfo`]). A
//! handler that keeps its server for longer than [`Config::slow_handler`] is warned of through `tracing`, again when it
//! has lasted twice as long, with the server and the message as fields; so are servers that fail, messages that cannot be
//! read, and tasks that panic. A handler that never awaits cannot be seen from outside: it shows as a worker thread of
//! the runtime that is busy.
//!
//! # What it is not
//!
//! No registry of a cluster's names, no groups, no persistence. Two nodes may each have a server of one name.
//!
//! A call from `block_on` itself, `#[tokio::main]`'s body included, pays two thread hops of some 10 µs, whatever it
//! calls; from a spawned task or a handler it takes a fifth of a microsecond.
//!
//! # Parts
//!
//! - a server: [`GenServer`], [`HandleCall`], [`HandleCast`], [`Cx`], [`ReplyTo`], [`Outcome`], [`Exit`]
//! - its messages: [`Request`], [`Wire`], [`Routes`]
//! - where to send: [`LocalAddr`], [`Addr`], [`Pid`], [`Locate`]; what is under way: [`Call`], [`Cast`], [`Multicall`]
//! - what runs them: [`System`], [`Config`], [`Spawn`], [`Supervisor`], [`Child`]
//! - what is seen: [`Info`], [`Down`], [`ServerInfo`]

mod address;
mod chain;
mod config;
mod context;
mod deadline;
mod envelope;
mod error;
mod exit;
mod introspect;
mod locate;
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
mod taken;
#[cfg(feature = "test-util")]
pub mod testing;
mod timer;

pub use address::{Addr, Call, Cast, LocalAddr, Multicall};
pub use chain::Path;
pub use config::Config;
pub use context::Cx;
pub use error::{CallError, CastError, CastFailure, Stage, StartError};
pub use exit::{Exit, Stop};
pub use introspect::{Handling, ServerInfo};
pub use locate::{Locate, Located};
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
