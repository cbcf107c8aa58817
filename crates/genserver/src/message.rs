//! What is sent to a server, and what a handler says when it is done.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message that is answered: what a caller sends with `call`.
///
/// A message that is only ever cast needs no trait at all.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be called with: it does not say what its reply is",
    label = "not a `Request`",
    note = "write `impl Request for {Self} {{ type Reply = …; }}`"
)]
pub trait Request: Send + 'static {
    /// What the caller gets. Errors of the application belong here, as a `Result`.
    type Reply: Send + 'static;
}

/// A message that may cross the network, under a name and version of its own.
///
/// The tag and the version are what identify a message between nodes, never the path of its type, so types may
/// be renamed and moved freely. Bodies are [postcard](https://postcard.jamesmunns.com), which carries no field
/// names: **a struct that gains, loses or reorders a field is a new version** of its message. Of an enum, new
/// variants may be appended. See [`Routes::upgrade`](crate::Routes::upgrade) for how a server understands both.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another node: it has no wire identity",
    label = "not `Wire`",
    note = "derive `Serialize` and `Deserialize` and write `impl Wire for {Self} {{ const TAG: &'static str = \"…\"; }}`",
    note = "a server that is certainly on this node takes any message: use its `LocalAddr`"
)]
pub trait Wire: Serialize + DeserializeOwned + Send + 'static {
    /// What other nodes know the message by: 1 to 64 bytes, unique among the messages of one server.
    const TAG: &'static str;

    /// Which shape of the message this is.
    const VERSION: u16 = 1;
}

/// What a handler says when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Go on to the next message.
    Continue,
    /// Stop, as intended: messages that wait are refused, `terminate` runs, [`Exit::Normal`](crate::Exit::Normal).
    Stop,
    /// Stop because something is wrong: as `Stop`, but a supervisor counts it as a failure,
    /// [`Exit::Failed`](crate::Exit::Failed).
    Fail(String),
}

impl Outcome {
    /// [`Outcome::Fail`] with what `reason` says.
    pub fn fail(reason: impl fmt::Display) -> Self {
        Self::Fail(reason.to_string())
    }
}
