//! What a ring is made of: nodes, and what is said about one when it is inserted.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::members::Member;

/// A value that a ring can place: its identity, and its order among nodes, are the bytes of [`ring_id`].
///
/// Everything else a node carries (an address, a label) is payload: the ring hands it back and never looks at it.
/// Implemented for strings, byte strings, integers (big endian, so that their order is the order of the numbers),
/// and references and shared pointers to nodes.
///
/// ```
/// use hashring::RingNode;
///
/// #[derive(Clone)]
/// struct Server {
///     name: String,
///     address: std::net::SocketAddr,
/// }
///
/// impl RingNode for Server {
///     type Id<'a> = &'a [u8];
///
///     fn ring_id(&self) -> &[u8] {
///         self.name.as_bytes()
///     }
/// }
/// ```
///
/// [`ring_id`]: RingNode::ring_id
pub trait RingNode: Clone {
    /// The bytes, borrowed from the node (`&[u8]`) or on the stack (`[u8; 8]`).
    type Id<'a>: AsRef<[u8]>
    where
        Self: 'a;

    /// The node's identity, at most [`ID_BYTES_MAX`] bytes.
    ///
    /// It must not change while the node is in a ring. If it does, lookups of that node may miss it and later
    /// changes may panic, but nothing worse.
    fn ring_id(&self) -> Self::Id<'_>;
}

/// The longest [`RingNode::ring_id`] a ring accepts, in bytes.
pub const ID_BYTES_MAX: usize = u16::MAX as usize;

/// The longest [`Zone`] a ring accepts, in bytes.
pub const ZONE_BYTES_MAX: usize = u16::MAX as usize;

macro_rules! borrowed_id {
    ($($node:ty: $($bytes:ident).+;)*) => {$(
        impl RingNode for $node {
            type Id<'a> = &'a [u8] where Self: 'a;

            #[inline]
            fn ring_id(&self) -> &[u8] {
                self$(.$bytes())+
            }
        }
    )*};
}

borrowed_id! {
    String: as_bytes;
    &str: as_bytes;
    Box<str>: as_bytes;
    Rc<str>: as_bytes;
    Arc<str>: as_bytes;
    Cow<'_, str>: as_bytes;
    Vec<u8>: as_slice;
    &[u8]: as_ref;
    Box<[u8]>: as_ref;
    Rc<[u8]>: as_ref;
    Arc<[u8]>: as_ref;
}

impl<const LEN: usize> RingNode for [u8; LEN] {
    type Id<'a> = &'a [u8];

    #[inline]
    fn ring_id(&self) -> &[u8] {
        self
    }
}

macro_rules! integer_id {
    ($($integer:ty)*) => {$(
        impl RingNode for $integer {
            type Id<'a> = [u8; size_of::<$integer>()];

            #[inline]
            fn ring_id(&self) -> Self::Id<'_> {
                self.to_be_bytes()
            }
        }
    )*};
}

integer_id! { u8 u16 u32 u64 u128 }

macro_rules! pointed_id {
    ($($pointer:ident)*) => {$(
        impl<N: RingNode> RingNode for $pointer<N> {
            type Id<'a> = N::Id<'a> where Self: 'a;

            #[inline]
            fn ring_id(&self) -> N::Id<'_> {
                (**self).ring_id()
            }
        }
    )*};
}

pointed_id! { Box Rc Arc }

impl<N: RingNode> RingNode for &N {
    type Id<'a>
        = N::Id<'a>
    where
        Self: 'a;

    #[inline]
    fn ring_id(&self) -> N::Id<'_> {
        (**self).ring_id()
    }
}

/// A failure domain: nodes of one zone are expected to fail together (a rack, a data centre).
///
/// ```
/// let zone = hashring::Zone::new("eu-north-1b");
/// assert_eq!(zone.as_str(), "eu-north-1b");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Zone(Arc<str>);

impl Zone {
    /// The zone of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Zone(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Into<Arc<str>>> From<S> for Zone {
    fn from(name: S) -> Self {
        Zone::new(name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({:?})", self.as_str())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Zone::new)
    }
}

/// A node and what is said about it on insertion. What is left unsaid keeps its present value for a node that is
/// already in the ring, and takes the default for a new one: the ring's default weight, no zone.
///
/// ```
/// use hashring::{HashRing, NodeSpec};
///
/// let mut ring = HashRing::new();
/// ring.insert(NodeSpec::new("big").weight(320).zone("rack-1"))?;
/// ring.insert(NodeSpec::new("big").weight(400))?;
/// assert_eq!(ring.zone_of(&"big").map(|zone| zone.as_str()), Some("rack-1"));
/// # Ok::<(), hashring::RingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use = "a spec does nothing until it is inserted"]
pub struct NodeSpec<N> {
    pub(crate) node: N,
    pub(crate) weight: Option<u32>,
    pub(crate) zone: Option<Zone>,
}

impl<N> NodeSpec<N> {
    /// A node about which nothing more is said.
    pub fn new(node: N) -> Self {
        NodeSpec { node, weight: None, zone: None }
    }

    /// How many points the node has: its share of the ring relative to the others. 0 is draining: a member that
    /// owns nothing. At most [`WEIGHT_MAX`](crate::WEIGHT_MAX), which insertion checks.
    pub fn weight(mut self, points: u32) -> Self {
        self.weight = Some(points);
        self
    }

    /// Which zone the node is in. A node that shall be in none again is removed and inserted.
    pub fn zone(mut self, zone: impl Into<Zone>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// The node.
    pub fn node(&self) -> &N {
        &self.node
    }

    /// The member that a spec of a snapshot stands for: it always says a weight.
    pub(crate) fn as_member(&self) -> Member<'_, N> {
        Member { node: &self.node, weight: self.weight.unwrap_or_default(), zone: self.zone.as_ref() }
    }
}

/// The spec that makes a member again, in a ring that does not have it.
///
/// ```
/// use hashring::{HashRing, NodeSpec};
///
/// let ring = HashRing::from_nodes(["ash", "birch"])?;
/// let elsewhere = HashRing::builder().seed(7).nodes(ring.members().map(NodeSpec::from)).build()?;
/// assert!(elsewhere.weights().eq(ring.weights()));
/// # Ok::<(), hashring::RingError>(())
/// ```
impl<N: Clone> From<Member<'_, N>> for NodeSpec<N> {
    fn from(member: Member<'_, N>) -> Self {
        NodeSpec { node: member.node.clone(), weight: Some(member.weight), zone: member.zone.cloned() }
    }
}
