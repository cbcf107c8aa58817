//! Servers of this system.

use std::fmt;
use std::sync::Arc;

use super::addr::Addr;
use super::call::Call;
use super::cast::Cast;
use crate::error::CastError;
use crate::exit::{Exit, Stop};
use crate::introspect::ServerInfo;
use crate::message::Request;
use crate::pid::Pid;
use crate::process::{self, AnyProcess, Process};
use crate::server::{GenServer, HandleCall, HandleCast};

/// One server of this system, for good: when it ends, messages fail with
/// [`Exited`](crate::CallError::Exited), even if another takes its name. Takes any message its server handles, and
/// never encodes one.
///
/// Cloning costs one reference count. Holding an address does not keep the server running, nor does dropping
/// the last one end it.
pub struct LocalAddr<S: GenServer>(Arc<Process<S>>);

impl<S: GenServer> LocalAddr<S> {
    pub(crate) fn new(process: Arc<Process<S>>) -> Self {
        Self(process)
    }

    pub(crate) fn process(&self) -> Arc<Process<S>> {
        Arc::clone(&self.0)
    }

    /// Sends a request and waits for its reply.
    ///
    /// ```compile_fail,E0277
    /// # use genserver::*;
    /// # struct Greeter;
    /// # impl GenServer for Greeter {}
    /// # struct Hello;
    /// # impl Request for Hello { type Reply = (); }
    /// # fn f(greeter: &LocalAddr<Greeter>) {
    /// let _ = greeter.call(Hello); // error: `Greeter` does not handle calls of it
    /// # }
    /// ```
    pub fn call<M>(&self, message: M) -> Call<M>
    where
        S: HandleCall<M>,
        M: Request,
    {
        Call::here(self.process(), message)
    }

    /// Sends a message, waiting for room in the mailbox.
    pub fn cast<M>(&self, message: M) -> Cast<M>
    where
        S: HandleCast<M>,
        M: Send + 'static,
    {
        Cast::here(self.process(), message)
    }

    /// Sends a message if there is room in the mailbox.
    ///
    /// # Errors
    ///
    /// [`CastError`], with the message.
    pub fn try_cast<M>(&self, message: M) -> Result<(), CastError<M>>
    where
        S: HandleCast<M>,
        M: Send + 'static,
    {
        self.cast(message).now()
    }

    /// Who this is.
    #[must_use]
    pub fn pid(&self) -> &Pid {
        &self.0.pid
    }

    /// The address of this one server for other nodes. Use [`System::addr`](crate::System::addr) for whichever has
    /// the name.
    #[must_use]
    pub fn addr(&self) -> Addr<S> {
        Addr::instance(self.0.system.clone(), self.0.pid.clone())
    }

    /// Stops the server and waits for its end. When this returns, `terminate` has run if it was to, and the name is
    /// free.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, the server still stops.
    pub async fn stop(&self, stop: Stop) -> Exit {
        self.0.stop(stop);
        self.ended().await
    }

    /// Waits for the end of the server.
    pub async fn ended(&self) -> Exit {
        process::when_ended(&self.0.system, &*self.0).await
    }

    /// Lets the server handle no messages until [`resume`](Self::resume); they wait in the mailbox. What the system
    /// says, timers among it, is still handled, and so is the handler that runs.
    pub fn pause(&self) {
        self.0.mailbox.pause(true);
    }

    /// Undoes [`pause`](Self::pause).
    pub fn resume(&self) {
        self.0.mailbox.pause(false);
    }

    /// Waits until the server has handled all there is, or has ended.
    pub async fn idle(&self) {
        // An error means that it ended.
        let _ended = self.0.mailbox.when_idle().await;
    }

    /// Whether it has not ended or been told to stop.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.mailbox.check().is_ok()
    }

    /// How it is now.
    #[must_use]
    pub fn info(&self) -> ServerInfo {
        self.0.info()
    }
}

impl<S: GenServer> Clone for LocalAddr<S> {
    fn clone(&self) -> Self {
        Self(self.process())
    }
}

/// The same server.
impl<S: GenServer> PartialEq for LocalAddr<S> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<S: GenServer> Eq for LocalAddr<S> {}

impl<S: GenServer> fmt::Debug for LocalAddr<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("LocalAddr").field(self.pid()).finish()
    }
}
