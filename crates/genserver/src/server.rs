//! The traits a server implements.

use std::future::Future;

use crate::context::Cx;
use crate::exit::Exit;
use crate::message::{Outcome, Request};
use crate::monitor::Info;
use crate::reply::ReplyTo;
use crate::routes::Routes;

/// Why a server refuses to start: any error.
pub type InitError = Box<dyn std::error::Error + Send + Sync>;

/// A server: a state, and handlers that run one at a time on it.
///
/// ```text
///            spawn(name, server)
///                 │
///                init ──── Err ──▶ StartError::Init
///                 │ Ok
///                 ▼
///   system ┌───────────┐  Down, timers, results of tasks     first
///   lane ─▶│           │
///          │   next    │──▶ call / cast / info ──┐
///   mail ─▶│           │  one handler at a time   │ Outcome
///   box    └───────────┘◀── Continue ─────────────┤
///                                                 ├── Stop, Fail ──▶ terminate ──▶ Exit
///                                                 └── panic ─────────────────────▶ Exit
/// ```
///
/// All methods are written as plain `async fn`, and all may be left out. While one handler awaits, no other runs: what takes long belongs in
/// [`Cx::spawn`] or [`Cx::cast_when`].
pub trait GenServer: Sized + Send + 'static {
    /// Prepares the server: the place to start timers and monitors, and to refuse to start. The name is registered
    /// already; messages wait until this is done.
    ///
    /// # Errors
    ///
    /// Whatever keeps the server from starting; whoever starts it gets it as
    /// [`StartError::Init`](crate::StartError::Init). `terminate` does not run then.
    fn init(&mut self, cx: &mut Cx<Self>) -> impl Future<Output = Result<(), InitError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Lists the messages other nodes may send. Whatever is not listed is refused as
    /// [`Unsupported`](crate::CallError::Unsupported), from this node's [`Addr`](crate::Addr)s too.
    fn routes(routes: &mut Routes<Self>) {
        let _ = routes;
    }

    /// Handles what the system tells the server: a monitored server is down, a node came or went.
    fn info(&mut self, info: Info, cx: &mut Cx<Self>) -> impl Future<Output = Outcome> + Send {
        let _ = (info, cx);
        async { Outcome::Continue }
    }

    /// The last thing a server does. Does not run after a panic or [`Stop::Now`](crate::Stop::Now).
    fn terminate(self, why: Exit) -> impl Future<Output = ()> + Send {
        let _ = why;
        async {}
    }
}

/// Answers calls of `M`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle calls of `{M}`",
    label = "no handler for `{M}`",
    note = "write `impl HandleCall<{M}> for {Self}`"
)]
pub trait HandleCall<M: Request>: GenServer {
    /// Handles one call. Answer with [`ReplyTo::send`], now or later, from here or from anywhere else.
    fn call(
        &mut self,
        message: M,
        reply: ReplyTo<M::Reply>,
        cx: &mut Cx<Self>,
    ) -> impl Future<Output = Outcome> + Send;
}

/// Takes casts of `M`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle casts of `{M}`",
    label = "no handler for `{M}`",
    note = "write `impl HandleCast<{M}> for {Self}`"
)]
pub trait HandleCast<M: Send + 'static>: GenServer {
    /// Handles one cast.
    fn cast(&mut self, message: M, cx: &mut Cx<Self>) -> impl Future<Output = Outcome> + Send;
}
