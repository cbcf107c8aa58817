//! A session with the node a command is for.

use std::time::Duration;

use anyhow::{Result, anyhow};
use clusterluck::control::{Client, ClientError, Command, Done, Failure};
use clusterluck::netkernel::{Address, CallError, ConnectError, HandshakeError, Node};

use crate::args::Options;
use crate::cookie::{self, Found, Source, reason};
use crate::output::Format;

/// A session with one node, and how its answers are to look.
pub(crate) struct Session {
    client: Client,
    timeout: Duration,
    pub(crate) format: Format,
}

impl Session {
    /// Connects to the node that the options name.
    pub(crate) async fn open(options: &Options, format: Format) -> Result<Self> {
        let address = options.address()?;
        let Found { cookie, source } = cookie::find(options)?;
        let connected = Client::connect(&address, options.instance.as_ref(), &cookie, options.timeout).await;
        let client = connected.map_err(|error| unconnected(&address, &source, options.timeout, error))?;
        Ok(Self { client, timeout: options.timeout, format })
    }

    /// The node at the other end.
    pub(crate) fn node(&self) -> &Node {
        self.client.node()
    }

    /// Its id.
    pub(crate) fn node_id(&self) -> &str {
        self.client.node().id.as_str()
    }

    /// Asks the node one thing.
    pub(crate) async fn ask<C: Command>(&self, command: &C) -> Result<C::Answer> {
        let answer = self.client.run_within(command, self.timeout).await;
        answer.map_err(|error| self.unanswered(C::NAME, self.timeout, error))
    }

    /// Asks the node something that it may take `longer` to answer than other questions.
    pub(crate) async fn ask_within<C: Command>(
        &self,
        command: &C,
        longer: Duration,
    ) -> Result<C::Answer, ClientError> {
        self.client.run_within(command, self.timeout + longer).await
    }

    /// Makes a change. With `wait` it is an error if not all reachable members have it in time.
    pub(crate) async fn change<C: Command<Answer = Done>>(&self, command: &C, wait: bool) -> Result<Done> {
        let spreading = if wait { self.timeout } else { Duration::ZERO };
        let within = self.timeout + NODE_TRIES + spreading;
        let done = self.client.run_within(command, within).await;
        let done = done.map_err(|error| self.unanswered(C::NAME, within, error))?;
        if wait && done.propagated == Some(false) {
            return Err(anyhow!(
                "`{}` has made the change, but not every reachable member had acknowledged it after {:?}; \
                 it spreads on: see `clusterluck members`",
                self.node_id(),
                self.timeout
            ));
        }
        Ok(done)
    }

    /// How long a node is to wait for a change to spread, in milliseconds.
    pub(crate) fn wait_ms(&self, wait: bool) -> Option<u64> {
        wait.then(|| u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX))
    }

    /// Ends the session in good order.
    pub(crate) async fn close(self) {
        self.client.close().await;
    }

    fn unanswered(&self, command: &str, within: Duration, error: ClientError) -> anyhow::Error {
        let node = self.node_id();
        match error {
            ClientError::Failure(failure) => failure.into(),
            ClientError::Call { source: CallError::Timeout { .. }, .. } => anyhow!(
                "`{node}` did not answer `{command}` within {within:?}: it is busy or cut off; give it longer with --timeout"
            ),
            ClientError::Call { source: CallError::LinkDown, .. } => anyhow!(
                "the connection to `{node}` broke during `{command}`, which may or may not have been carried out: \
                 look before you repeat it"
            ),
            ClientError::Call { source, .. } => {
                anyhow!("`{node}` did not take `{command}`: {source}; try again, or look at the node's log")
            }
            other => other.into(),
        }
    }
}

/// What to do about a node's refusal, for people; programs get the refusal alone, as the original words it.
pub(crate) fn advice(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::UnknownNode { .. } => Some("`clusterluck nodes` lists the nodes it knows"),
        Failure::UnknownCommand { .. } => Some("use a command line of the node's release"),
        _ => None,
    }
}

fn unconnected(address: &Address, source: &Source, timeout: Duration, error: ClientError) -> anyhow::Error {
    let ClientError::Connect(error) = error else { return error.into() };
    match error {
        ConnectError::Unreachable { source, .. } => anyhow!(
            "no node answers at {address} ({}): start one with `clusterluck start <id>`, or say where it is with -H and -p",
            reason(&source)
        ),
        ConnectError::WrongNode { expected, found, .. } => anyhow!(
            "the node at {address} is `{found}`, not `{expected}`: leave out -I, or give the address of `{expected}`"
        ),
        ConnectError::Timeout { .. } => anyhow!(
            "nothing at {address} answered within {timeout:?}: check -H and -p and the way there, or give it longer with --timeout"
        ),
        ConnectError::Handshake { source: HandshakeError::Authentication, .. } => {
            anyhow!("the node at {address} refused {source}: use the cookie that node was started with")
        }
        ConnectError::Handshake {
            source: HandshakeError::Closed | HandshakeError::NotClusterluck | HandshakeError::Malformed,
            ..
        } => {
            anyhow!("what listens at {address} is no clusterluck node: check -H and -p")
        }
        ConnectError::Handshake { source: HandshakeError::Version { version, .. }, .. } => anyhow!(
            "the node at {address} speaks protocol version {version}, this command line does not: use one of its release"
        ),
        ConnectError::Handshake { source, .. } => {
            anyhow!(
                "the node at {address} did not accept the connection: {source}; try again, or look at its log"
            )
        }
        other => other.into(),
    }
}

/// A node tries a meet, or waits for a leave to be acknowledged, for 5 s of its own: what it says then is worth more
/// than having given up just before.
const NODE_TRIES: Duration = Duration::from_secs(6);
