//! How a server ends.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a server ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Exit {
    /// A handler returned [`Outcome::Stop`](crate::Outcome::Stop).
    #[error("it stopped")]
    Normal,
    /// It was asked to stop and had time to finish.
    #[error("it was shut down")]
    Shutdown,
    /// It was ended at once: `terminate` did not run.
    #[error("it was killed")]
    Killed,
    /// A handler returned [`Outcome::Fail`](crate::Outcome::Fail).
    #[error("it failed: {reason}")]
    Failed {
        /// What the handler said, its first 1,024 bytes.
        reason: String,
    },
    /// A handler panicked: `terminate` did not run, and the state is gone.
    #[error("it panicked: {message}")]
    Panicked {
        /// The panic's message, its first 1,024 bytes.
        message: String,
    },
}

impl Exit {
    /// Whether something went wrong: what makes a supervisor restart a
    /// [transient](crate::Restart::Transient) child.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Normal | Self::Shutdown)
    }

    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::Panicked { message: shortened(text.unwrap_or("a panic without a message")) }
    }

    pub(crate) fn failed(reason: &str) -> Self {
        Self::Failed { reason: shortened(reason) }
    }
}

/// What of a text goes into an exit.
fn shortened(text: &str) -> String {
    let mut ends = (0..=text.len().min(TEXT_BYTES_MAX)).rev();
    let end = ends.find(|&end| text.is_char_boundary(end)).expect("the start is one");
    text[..end].to_owned()
}

/// How to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// New messages are refused as [`Draining`](crate::CallError::Draining), those already accepted are handled,
    /// then `terminate` runs. When the time is up, what is left is ended as by `Now`.
    Graceful {
        /// How long it may take.
        within: Duration,
    },
    /// The running handler is dropped where it awaits, messages that wait are refused, and `terminate` does not
    /// run. A handler that never awaits cannot be stopped before it returns.
    Now,
}

impl Stop {
    /// [`Stop::Graceful`].
    #[must_use]
    pub const fn graceful(within: Duration) -> Self {
        Self::Graceful { within }
    }
}

/// Exits travel to other nodes, where they have to fit into a message; what a handler says may hold anything.
const TEXT_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"é".repeat(TEXT_BYTES_MAX)).len(), TEXT_BYTES_MAX);
        assert_eq!(shortened(&format!("x{}", "é".repeat(TEXT_BYTES_MAX))).len(), TEXT_BYTES_MAX - 1);
    }
}
