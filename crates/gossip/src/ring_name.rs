//! The name that, with the cookie, is all that identifies a ring.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of a ring: 1 to 255 bytes of UTF-8 without control characters.
///
/// Nodes of one cookie and one ring name become one ring as soon as any two of them meet, whatever their
/// histories. Give rings that must stay apart different names, or different cookies.
///
/// It is not the name of a server: a ring may be called anything, `$gossip` included.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RingName(Arc<str>);

impl RingName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = 255;

    /// Checks and wraps a name.
    ///
    /// # Errors
    ///
    /// [`RingNameError`] if the name is empty, too long or holds a control character.
    pub fn new(name: impl AsRef<str>) -> Result<Self, RingNameError> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(RingNameError::Empty);
        }
        if name.len() > Self::BYTES_MAX {
            return Err(RingNameError::TooLong { bytes: name.len() });
        }
        if name.chars().any(char::is_control) {
            return Err(RingNameError::ControlCharacter);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no ring name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RingNameError {
    /// No bytes at all.
    #[error("the ring name is empty: give it 1 to {} bytes", RingName::BYTES_MAX)]
    Empty,
    /// More than 255 bytes.
    #[error("the ring name is {bytes} bytes long: at most {} are allowed", RingName::BYTES_MAX)]
    TooLong {
        /// The length found, in bytes.
        bytes: usize,
    },
    /// A control character, which would garble logs and terminals.
    #[error("the ring name holds a control character")]
    ControlCharacter,
}

impl FromStr for RingName {
    type Err = RingNameError;

    fn from_str(name: &str) -> Result<Self, RingNameError> {
        Self::new(name)
    }
}

impl TryFrom<String> for RingName {
    type Error = RingNameError;

    fn try_from(name: String) -> Result<Self, RingNameError> {
        Self::new(name)
    }
}

impl From<RingName> for String {
    fn from(name: RingName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for RingName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for RingName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(RingName::new(""), Err(RingNameError::Empty));
        assert_eq!(RingName::new("r".repeat(256)), Err(RingNameError::TooLong { bytes: 256 }));
        assert_eq!(RingName::new("a\tb"), Err(RingNameError::ControlCharacter));
        assert_eq!(RingName::new("r".repeat(255)).unwrap().as_str().len(), 255);
    }

    // Fault 11 of the original: a ring named "command" took over the server of that name.
    #[test]
    fn a_ring_may_bear_the_name_of_a_server() {
        for name in ["command", "$gossip", "$control"] {
            assert_eq!(RingName::new(name).unwrap().as_str(), name);
        }
    }
}
