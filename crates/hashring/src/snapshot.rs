//! A ring at rest: its members, from which its points follow.

mod error;
#[cfg(feature = "serde")]
mod with_serde;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use self::error::{DecodeError, RestoreError};
use crate::layout::{Fingerprint, LAYOUT_VERSION, Layout, write_member};
use crate::members::Member;
use crate::node::{NodeSpec, RingNode, Zone};
use crate::ring::{HashRing, NODES_MAX};

/// The members of a ring, and its fingerprint: what to store or send. Never the points, which follow, nor the seed, which
/// may be a secret: [`Builder::restore`](crate::Builder::restore) is told it, and checks the fingerprint with it.
///
/// ```
/// use hashring::{HashRing, Snapshot};
///
/// let ring = HashRing::from_nodes(["ash".to_owned(), "birch".to_owned()])?;
/// let bytes = ring.snapshot().to_bytes();
/// assert_eq!(bytes.len(), 44 + (7 + 3) + (7 + 5));
///
/// let snapshot = Snapshot::<String>::from_bytes(&bytes)?;
/// assert_eq!(HashRing::builder().restore(snapshot)?, ring);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot<N> {
    fingerprint: Fingerprint,
    /// In strictly ascending order of ids, each with its weight, and no name over its limit.
    members: Vec<NodeSpec<N>>,
}

/// A node that can be made of its id alone.
pub trait FromRingId: RingNode {
    /// The node with this id, `None` when there is none.
    fn from_ring_id(id: &[u8]) -> Option<Self>;
}

impl<N: RingNode> HashRing<N> {
    /// What to store of this ring.
    pub fn snapshot(&self) -> Snapshot<N> {
        Snapshot { fingerprint: self.fingerprint(), members: self.members().map(NodeSpec::from).collect() }
    }
}

impl<N> Snapshot<N> {
    /// The nodes with their weights and zones, in the order of their ids.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member<'_, N>> + DoubleEndedIterator + Clone {
        self.members.iter().map(NodeSpec::as_member)
    }

    /// The fingerprint of the ring.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl<N: RingNode> Snapshot<N> {
    /// The snapshot in a form of its own, one for each ring: 44 bytes, and for each node 7, its id, and 2 with its zone if
    /// it has one. Payload is left out.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(44 + self.members.len() * 32);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&LAYOUT_VERSION.to_le_bytes());
        out.extend_from_slice(self.fingerprint.as_bytes());
        out.extend_from_slice(&(self.members.len() as u32).to_le_bytes());
        for member in self.members() {
            write_member(member, |bytes| out.extend_from_slice(bytes));
        }
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, and nothing else.
    ///
    /// # Errors
    ///
    /// When the bytes are not of that form. What they cost to read is bounded by their number.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>
    where
        N: FromRingId,
    {
        Self::from_bytes_with(bytes, N::from_ring_id)
    }

    /// The same for nodes with payload, which `node` finds by the id.
    ///
    /// # Errors
    ///
    /// When the bytes are not of that form, or `node` returns `None`, or a node of another id.
    pub fn from_bytes_with(
        bytes: &[u8],
        mut node: impl FnMut(&[u8]) -> Option<N>,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        if reader.array()? != *MAGIC {
            return Err(DecodeError::NotASnapshot);
        }
        let layout = u32::from_le_bytes(reader.array()?);
        if layout != LAYOUT_VERSION {
            return Err(DecodeError::UnknownLayout { version: layout });
        }
        let fingerprint = Fingerprint::from(reader.array::<32>()?);
        let count = u32::from_le_bytes(reader.array()?) as usize;
        if count > NODES_MAX {
            return Err(DecodeError::TooManyNodes);
        }
        if count > reader.0.len() / MEMBER_BYTES_MIN {
            return Err(DecodeError::Truncated);
        }
        let (mut members, mut id_before) = (Vec::with_capacity(count), None);
        for index in 0..count {
            let id = reader.bytes()?;
            if id_before.is_some_and(|before| before >= id) {
                return Err(DecodeError::OutOfOrder { index });
            }
            id_before = Some(id);
            let weight = Some(u32::from_le_bytes(reader.array()?));
            let zone = match reader.array()? {
                [0] => None,
                [1] => Some(Zone::new(
                    str::from_utf8(reader.bytes()?).map_err(|_| DecodeError::BadZone { index })?,
                )),
                _ => return Err(DecodeError::BadZone { index }),
            };
            let node = node(id).filter(|node| node.ring_id().as_ref() == id);
            members.push(NodeSpec { node: node.ok_or(DecodeError::BadId { index })?, weight, zone });
        }
        if reader.0.is_empty() {
            Ok(Snapshot { fingerprint, members })
        } else {
            Err(DecodeError::TrailingBytes { bytes: reader.0.len() })
        }
    }

    /// The members, once it is known that a ring of this seed had them.
    pub(crate) fn into_members(self, seed: u64) -> Result<Vec<NodeSpec<N>>, RestoreError> {
        // Before a point is computed: who cannot name the seed's fingerprint costs no more than a hash.
        if Layout::new(seed).fingerprint(self.members()) == self.fingerprint {
            Ok(self.members)
        } else {
            Err(RestoreError::FingerprintMismatch)
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// Bytes after their length.
    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = u16::from_le_bytes(self.array()?);
        self.take(usize::from(length))
    }
}

macro_rules! from_text {
    ($($node:ty)*) => {$(
        impl FromRingId for $node {
            fn from_ring_id(id: &[u8]) -> Option<Self> {
                str::from_utf8(id).ok().map(Self::from)
            }
        }
    )*};
}

from_text! { String Box<str> Arc<str> }

macro_rules! from_bytes {
    ($($node:ty)*) => {$(
        impl FromRingId for $node {
            fn from_ring_id(id: &[u8]) -> Option<Self> {
                Some(Self::from(id))
            }
        }
    )*};
}

from_bytes! { Vec<u8> Box<[u8]> Arc<[u8]> }

macro_rules! from_integer {
    ($($node:ty)*) => {$(
        impl FromRingId for $node {
            fn from_ring_id(id: &[u8]) -> Option<Self> {
                id.try_into().ok().map(Self::from_be_bytes)
            }
        }
    )*};
}

from_integer! { u8 u16 u32 u64 u128 }

impl<const LEN: usize> FromRingId for [u8; LEN] {
    fn from_ring_id(id: &[u8]) -> Option<Self> {
        id.try_into().ok()
    }
}

const MAGIC: &[u8; 4] = b"CLHR";

/// Length of an id, weight, and whether there is a zone.
const MEMBER_BYTES_MIN: usize = 7;
