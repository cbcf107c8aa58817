//! The operator's end: a session with one node, and commands over it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use netkernel::{
    Address, BindError, CallError, ConnectError, Cookie, Dispatch, Kernel, Net, Node, NodeId, Noise, Peer,
    Refusal, Responder, Role, ServerName, Tcp, Transport,
};
use thiserror::Error;

use super::failure::Failure;
use super::protocol::{Command, Request, Response, VERSION};

/// A session with the control server of one node.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use clusterluck::control::{Client, Nodes};
/// use clusterluck::netkernel::Cookie;
///
/// let cookie = Cookie::read_file("cookie")?;
/// let client = Client::connect(&"127.0.0.1:7022".parse()?, None, &cookie, Duration::from_secs(5)).await?;
/// for node in client.run(&Nodes {}).await? {
///     println!("{} at {}:{}", node.id, node.host, node.port);
/// }
/// # Ok(()) }
/// ```
pub struct Client {
    kernel: Kernel,
    node: Node,
    timeout: Duration,
}

/// Why a command gave no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No session with the node could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// This end could not be set up.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The node refused, and says why.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The call failed.
    #[error("no answer from `{node}`")]
    Call {
        /// The node asked.
        node: NodeId,
        /// How the call ended.
        source: CallError,
    },
    /// The answer cannot be read.
    #[error(
        "the answer of `{node}` to `{command}` cannot be read; the command line and the node differ in version"
    )]
    Answer {
        /// The node asked.
        node: NodeId,
        /// The command sent.
        command: &'static str,
    },
}

impl Client {
    /// Connects to the node at `address` over TCP. With `instance`, another node there is an error. `timeout` is
    /// for this and for each later command.
    ///
    /// # Errors
    ///
    /// [`ClientError::Connect`] says whether nothing answered, the cookie differs or it is another node.
    pub async fn connect(
        address: &Address,
        instance: Option<&NodeId>,
        cookie: &Cookie,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        Self::connect_over(Tcp, address, instance, cookie, timeout).await
    }

    /// Like [`connect`](Self::connect), over another transport.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_over(
        transport: impl Transport,
        address: &Address,
        instance: Option<&NodeId>,
        cookie: &Cookie,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|_| BindError::Randomness)?;
        let id = NodeId::new(format!("control-{:032x}", u128::from_le_bytes(random)))
            .expect("a prefix and 32 digits are a valid id");
        let config =
            netkernel::Config::builder(id, Noise::new(cookie)).role(Role::Control).transport(transport);
        let kernel = Kernel::bind(config.build().expect("no limit is set")).await?;
        kernel.serve(Arc::new(Nothing));
        let node = kernel.dial(address, instance, timeout).await?;
        Ok(Self { kernel, node, timeout })
    }

    /// The node this client talks to.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Runs one command.
    ///
    /// # Errors
    ///
    /// [`ClientError::Failure`] if the node refused, [`ClientError::Call`] if it did not answer in time.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, the command may or may not have been carried out.
    pub async fn run<C: Command>(&self, command: &C) -> Result<C::Answer, ClientError> {
        self.run_within(command, self.timeout).await
    }

    /// Runs one command that may take longer than others.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_within<C: Command>(
        &self,
        command: &C,
        timeout: Duration,
    ) -> Result<C::Answer, ClientError> {
        ask(&self.kernel, &self.node.id, command, timeout).await
    }

    /// Ends the session in good order.
    pub async fn close(self) {
        self.kernel.shutdown(Duration::from_secs(1)).await;
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Asks the control server of a node one thing.
pub(crate) async fn ask<C: Command>(
    kernel: &Kernel,
    node: &NodeId,
    command: &C,
    timeout: Duration,
) -> Result<C::Answer, ClientError> {
    let unreadable = || ClientError::Answer { node: node.clone(), command: C::NAME };
    let arguments = postcard::to_allocvec(command).map_err(|_| unreadable())?;
    let request = Request { version: VERSION, command: C::NAME.to_owned(), arguments };
    let body: Bytes = postcard::to_allocvec(&request).map_err(|_| unreadable())?.into();
    let reply = kernel.call(node, &ServerName::control(), body, timeout).await;
    let reply = reply.map_err(|source| ClientError::Call { node: node.clone(), source })?;
    let response: Response = postcard::from_bytes(&reply).map_err(|_| unreadable())?;
    postcard::from_bytes(&response?).map_err(|_| unreadable())
}

/// An operator serves nothing.
struct Nothing;

impl Dispatch for Nothing {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        Err(Refusal::NoProc)
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes, responder: Responder) {
        responder.refuse(Refusal::NoProc);
    }
}
