//! Who a node is: its id, the address it is reached at, and which run of it this is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of a node, unique in its cluster: 1 to 255 bytes of UTF-8 without control characters.
///
/// Cloning costs one reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// The longest id, in bytes.
    pub const BYTES_MAX: usize = NAME_BYTES_MAX;

    /// Checks and wraps an id.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the id is empty, too long or holds a control character.
    pub fn new(id: impl AsRef<str>) -> Result<Self, NameError> {
        checked(id.as_ref()).map(Self)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name under which a server is reached on its node: 1 to 255 bytes of UTF-8 without control characters.
///
/// Names that start with `$` belong to the layers of Clusterluck itself (`$gossip`, `$control`), so that no
/// user's server can take a name the system needs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(Arc<str>);

impl ServerName {
    /// The longest name, in bytes.
    pub const BYTES_MAX: usize = NAME_BYTES_MAX;

    /// Checks and wraps the name of a user's server.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name is empty, too long, holds a control character or starts with `$`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
        let name = name.as_ref();
        if name.starts_with(SYSTEM_PREFIX) {
            return Err(NameError::Reserved);
        }
        checked(name).map(Self)
    }

    /// The name of a server of Clusterluck's own: `$` is put before `layer`.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name is empty, too long or holds a control character.
    pub fn system(layer: &str) -> Result<Self, NameError> {
        if layer.is_empty() {
            return Err(NameError::Empty);
        }
        checked(&format!("{SYSTEM_PREFIX}{layer}")).map(Self)
    }

    /// The name of the control server, on every node: the one server that peers with [`Role::Control`] reach.
    #[must_use]
    pub fn control() -> Self {
        Self::system(CONTROL).expect("the name is short and printable")
    }

    /// Whether this names the control server.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.0.strip_prefix(SYSTEM_PREFIX) == Some(CONTROL)
    }

    /// Whether this names a server of Clusterluck's own.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.0.starts_with(SYSTEM_PREFIX)
    }

    /// The name as text, `$` included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a node id or server name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// No bytes at all.
    #[error("the name is empty: give it 1 to {NAME_BYTES_MAX} bytes")]
    Empty,
    /// More than 255 bytes.
    #[error("the name is {bytes} bytes long: at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// The length found, in bytes.
        bytes: usize,
    },
    /// A control character, which would garble logs and terminals.
    #[error("the name holds a control character")]
    ControlCharacter,
    /// A user's server asked for a name that starts with `$`.
    #[error("names that start with `{SYSTEM_PREFIX}` are reserved")]
    Reserved,
}

/// Where a node listens: a host name or IP address, and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Parts")]
pub struct Address {
    host: Arc<str>,
    port: u16,
}

/// An address that was not checked yet.
#[derive(Deserialize)]
#[serde(rename = "Address")]
struct Parts {
    host: String,
    port: u16,
}

/// What comes from elsewhere is checked like what is made here: it is shown in logs and on terminals.
impl TryFrom<Parts> for Address {
    type Error = AddressError;

    fn try_from(parts: Parts) -> Result<Self, AddressError> {
        Self::new(parts.host, parts.port)
    }
}

impl Address {
    /// An address from its parts. IPv6 hosts are written without brackets.
    ///
    /// # Errors
    ///
    /// [`AddressError`] if the host is empty, over 255 bytes, or holds white space or control characters.
    pub fn new(host: impl AsRef<str>, port: u16) -> Result<Self, AddressError> {
        let host = host.as_ref();
        if host.is_empty() || host.len() > NAME_BYTES_MAX {
            return Err(AddressError::Host);
        }
        if host.chars().any(|character| character.is_control() || character.is_whitespace()) {
            return Err(AddressError::Host);
        }
        Ok(Self { host: host.into(), port })
    }

    /// The host name or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads `host:port`, with brackets around an IPv6 host.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(AddressError::Host)?,
            None if host.contains(':') => return Err(AddressError::Host),
            None => host,
        };
        Self::new(host, port.parse().map_err(|_| AddressError::Port)?)
    }
}

impl From<std::net::SocketAddr> for Address {
    fn from(socket: std::net::SocketAddr) -> Self {
        Self { host: socket.ip().to_string().into(), port: socket.port() }
    }
}

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The host is missing, too long, or holds characters no host has.
    #[error("not a host: expected a name or IP address of 1 to {NAME_BYTES_MAX} bytes, IPv6 in brackets")]
    Host,
    /// The port is missing or not a number from 0 to 65535.
    #[error("not a port: expected `host:port` with a port from 0 to 65535")]
    Port,
}

/// Which run of a node this is: of two instances of one id, the higher incarnation is the later one.
///
/// The layer above mints it (see `gossip`); the kernel compares it and carries it in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Incarnation(pub u64);

/// A running instance of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Where others reach it.
    pub address: Address,
    /// Which run of it this is.
    pub incarnation: Incarnation,
}

/// What one end of a session says it is.
///
/// A role is what a holder of the cookie claims, not a security boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Role {
    /// A full member of the mesh.
    Node,
    /// Sends and receives, but is no part of the ring or mesh.
    Client,
    /// May call the [control server](ServerName::control), and nothing else: calls of others are refused as
    /// [`NotAllowed`](crate::Refusal::NotAllowed), and so are all casts.
    Control,
}

const NAME_BYTES_MAX: usize = 255;
const SYSTEM_PREFIX: char = '$';
const CONTROL: &str = "control";

fn checked(name: &str) -> Result<Arc<str>, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: name.len() });
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::ControlCharacter);
    }
    Ok(name.into())
}

macro_rules! text_newtype {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, formatter)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        /// Accepts every well-formed name, system names included: what travels was checked where it was made.
        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                checked(&name).map(Self)
            }
        }
    };
}

text_newtype!(NodeId);
text_newtype!(ServerName);

impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(id: &str) -> Result<Self, NameError> {
        Self::new(id)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.id, self.address)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Node => "node",
            Self::Client => "client",
            Self::Control => "control",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_printable() {
        assert_eq!(NodeId::new("").unwrap_err(), NameError::Empty);
        assert_eq!(NodeId::new("a".repeat(256)).unwrap_err(), NameError::TooLong { bytes: 256 });
        assert_eq!(NodeId::new("a\n").unwrap_err(), NameError::ControlCharacter);
        assert_eq!(NodeId::new("a".repeat(255)).unwrap().as_str().len(), 255);
    }

    #[test]
    fn users_cannot_take_system_names() {
        assert_eq!(ServerName::new("$gossip").unwrap_err(), NameError::Reserved);
        assert!(ServerName::system("gossip").unwrap().is_system());
        assert!(!ServerName::new("gossip").unwrap().is_system());
        assert_eq!(ServerName::control(), ServerName::system("control").unwrap());
        assert!(ServerName::control().is_control());
        assert!(!ServerName::new("control").unwrap().is_control());
    }

    #[test]
    fn addresses_from_elsewhere_are_checked() {
        let address = Address::new("node-1.example", 7_022).unwrap();
        let bytes = postcard::to_allocvec(&address).unwrap();
        assert_eq!(postcard::from_bytes::<Address>(&bytes), Ok(address));
        for host in ["", "a b", "a\n", "\u{1b}[31mred", &"a".repeat(256)] {
            let bytes = postcard::to_allocvec(&(host, 7_022_u16)).unwrap();
            assert!(postcard::from_bytes::<Address>(&bytes).is_err(), "{host:?} was taken");
        }
    }

    #[test]
    fn addresses_round_trip_through_text() {
        for text in ["127.0.0.1:7022", "[::1]:7022", "node-1.example:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "host", "host:", "host:65536", "::1:80", "[::1:80", ":80", "a b:80"] {
            assert!(text.parse::<Address>().is_err(), "{text:?} was accepted");
        }
    }
}
