//! Mistakes that the compiler has to find. Each is a program that compiles but for one line, so that no other fault can
//! be what fails it; what the compiler says of that line is written beside it.
//!
//! This one is right, and the others differ from it by one line:
//!
//! ```
//! # use genserver::*;
//! # use serde::{Deserialize, Serialize};
//! #[derive(Serialize, Deserialize)]
//! struct Get;
//! impl Request for Get { type Reply = u64; }
//! impl Wire for Get { const TAG: &'static str = "get"; }
//! struct Store;
//! impl GenServer for Store {
//!     fn routes(routes: &mut Routes<Self>) { routes.call::<Get>(); }
//! }
//! impl HandleCall<Get> for Store {
//!     async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome { reply.send(7) }
//! }
//! async fn ask(here: LocalAddr<Store>, anywhere: Addr<Store>) -> Result<u64, CallError> {
//!     Ok(here.call(Get).await? + anywhere.call(Get).await?)
//! }
//! ```
//!
//! A call of what the server does not handle: "`Store` does not handle calls of `Put`".
//!
//! ```compile_fail,E0277
//! # use genserver::*;
//! # struct Put;
//! # impl Request for Put { type Reply = (); }
//! # struct Store;
//! # impl GenServer for Store {}
//! # fn ask(here: LocalAddr<Store>) {
//! let _ = here.call(Put);
//! # }
//! ```
//!
//! A cast of it: "`Store` does not handle casts of `Put`".
//!
//! ```compile_fail,E0277
//! # use genserver::*;
//! # struct Put;
//! # struct Store;
//! # impl GenServer for Store {}
//! # fn ask(here: LocalAddr<Store>) {
//! let _ = here.try_cast(Put);
//! # }
//! ```
//!
//! A call with what has no reply: "`Put` cannot be called with: it does not say what its reply is".
//!
//! ```compile_fail,E0277
//! # use genserver::*;
//! # struct Put;
//! # struct Store;
//! # impl GenServer for Store {}
//! # impl HandleCast<Put> for Store {
//! #     async fn cast(&mut self, _: Put, _: &mut Cx<Self>) -> Outcome { Outcome::Continue }
//! # }
//! # fn ask(here: LocalAddr<Store>) {
//! let _ = here.call(Put);
//! # }
//! ```
//!
//! To another node, without a wire identity: "`Get` cannot be sent to another node: it has no wire identity".
//!
//! ```compile_fail,E0277
//! # use genserver::*;
//! # struct Get;
//! # impl Request for Get { type Reply = u64; }
//! # struct Store;
//! # impl GenServer for Store {}
//! # impl HandleCall<Get> for Store {
//! #     async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome { reply.send(7) }
//! # }
//! # fn ask(anywhere: Addr<Store>) {
//! let _ = anywhere.call(Get);
//! # }
//! ```
//!
//! A route without its handler: "`Store` does not handle calls of `Get`".
//!
//! ```compile_fail,E0277
//! # use genserver::*;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Get;
//! # impl Request for Get { type Reply = u64; }
//! # impl Wire for Get { const TAG: &'static str = "get"; }
//! # struct Store;
//! # impl GenServer for Store {
//! fn routes(routes: &mut Routes<Self>) { routes.call::<Get>(); }
//! # }
//! ```
//!
//! A reply of another type: "mismatched types: expected `u64`, found `&str`".
//!
//! ```compile_fail,E0308
//! # use genserver::*;
//! # struct Get;
//! # impl Request for Get { type Reply = u64; }
//! # struct Store;
//! # impl GenServer for Store {}
//! # impl HandleCall<Get> for Store {
//! async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome { reply.send("seven") }
//! # }
//! ```
//!
//! Two replies to one call: "use of moved value: `reply`".
//!
//! ```compile_fail,E0382
//! # use genserver::*;
//! # struct Get;
//! # impl Request for Get { type Reply = u64; }
//! # struct Store;
//! # impl GenServer for Store {}
//! # impl HandleCall<Get> for Store {
//! # async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome {
//! reply.send(7);
//! reply.send(8)
//! # }
//! # }
//! ```
//!
//! A handler that holds across an await what may not leave its thread: "future cannot be sent between threads safely".
//!
//! ```compile_fail
//! # use genserver::*;
//! # struct Get;
//! # impl Request for Get { type Reply = u64; }
//! # struct Store;
//! # impl GenServer for Store {}
//! # impl HandleCall<Get> for Store {
//! # async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome {
//! let shared = std::rc::Rc::new(7);
//! tokio::task::yield_now().await;
//! reply.send(*shared)
//! # }
//! # }
//! ```
//!
//! An older message that cannot become the newer: "the trait bound `New: From<Old>` is not satisfied".
//!
//! ```compile_fail,E0277
//! # use genserver::*;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Old;
//! # impl Wire for Old { const TAG: &'static str = "put"; }
//! # struct New;
//! # struct Store;
//! # impl HandleCast<New> for Store {
//! #     async fn cast(&mut self, _: New, _: &mut Cx<Self>) -> Outcome { Outcome::Continue }
//! # }
//! # impl GenServer for Store {
//! fn routes(routes: &mut Routes<Self>) { routes.upgrade_cast::<Old, New>(); }
//! # }
//! ```
