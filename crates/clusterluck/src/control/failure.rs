//! Why a node did not carry out a command.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::growing::{growing, padded};

/// Why a node did not carry out a command. It is unharmed.
///
/// It travels together with its words, so that a reader that does not know a kind still has them: as
/// [`Failed`](Self::Failed).
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(remote = "Self")]
#[non_exhaustive]
pub enum Failure {
    /// The node is older or newer than the command.
    #[error("this node (clusterluck {release}) does not know the command `{command}`; it knows: {}", known.join(", "))]
    UnknownCommand {
        /// The command asked for.
        command: String,
        /// The node's release.
        release: String,
        /// The commands it knows.
        known: Vec<String>,
    },
    /// The arguments could not be read.
    #[error("the arguments of `{command}` cannot be read; the command line and the node differ in version")]
    Malformed {
        /// The command asked for.
        command: String,
    },
    /// The ring has no node of that id.
    #[error("'{id}' is not defined in this ring.")]
    UnknownNode {
        /// The id asked for.
        id: String,
    },
    /// The node is in no ring.
    #[error("this node is in no ring; join one with `clusterluck join <ring>`")]
    NotInRing,
    /// An argument makes no sense.
    #[error("{reason}")]
    Invalid {
        /// Which, and what would.
        reason: String,
    },
    /// The operation was tried and did not succeed.
    #[error("{reason}")]
    Failed {
        /// What happened.
        reason: String,
    },
    /// The protocol that the command came in is newer than the node.
    #[error(
        "this node (clusterluck {release}) speaks version {newest} of the control protocol, not version {version}"
    )]
    NewerProtocol {
        /// The version that the command came in.
        version: u16,
        /// The newest version the node speaks.
        newest: u16,
        /// The node's release.
        release: String,
    },
}

/// A failure as it travels.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Self")]
struct Told {
    words: String,
    kind: Vec<u8>,
}

growing!(Told);

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Kind<'a>(&'a Failure);
        impl Serialize for Kind<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Failure::serialize(self.0, serializer)
            }
        }
        let kind = postcard::to_allocvec(&Kind(self)).map_err(serde::ser::Error::custom)?;
        Serialize::serialize(&Told { words: self.to_string(), kind }, serializer)
    }
}

impl<'de> Deserialize<'de> for Failure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Kind(Failure);
        impl<'de> Deserialize<'de> for Kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Failure::deserialize(deserializer).map(Self)
            }
        }
        let Told { words, kind } = Deserialize::deserialize(deserializer)?;
        Ok(padded::<Kind>(&kind).map_or(Self::Failed { reason: words }, |kind| kind.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_a_later_release_keeps_its_words() {
        let told = Told { words: "the node is on holiday".into(), kind: vec![99, 1, 2] };
        let read: Failure = postcard::from_bytes(&postcard::to_allocvec(&told).unwrap()).unwrap();
        assert_eq!(read, Failure::Failed { reason: "the node is on holiday".into() });
    }

    #[test]
    fn a_failure_that_is_known_is_read_as_what_it_is() {
        for failure in [Failure::NotInRing, Failure::UnknownNode { id: "n".into() }] {
            let sent = postcard::to_allocvec(&failure).unwrap();
            assert_eq!(postcard::from_bytes::<Failure>(&sent).unwrap(), failure);
        }
    }
}
