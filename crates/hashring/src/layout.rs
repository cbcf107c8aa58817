//! Layout V1: where points and keys lie. Frozen: golden files hold it in place.

use alloc::vec::Vec;
use core::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::members::Member;
use crate::node::RingNode;

/// The version of the layout this crate computes; a new one would be a new value beside the old.
pub const LAYOUT_VERSION: u32 = 1;

/// A position on the ring: of a key, or of a point. The ring is the 2^64 tokens, clockwise in ascending order,
/// and after the last comes the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Token(u64);

impl Token {
    /// The first token.
    pub const MIN: Token = Token(0);
    /// The last token, just before the first.
    pub const MAX: Token = Token(u64::MAX);

    /// The token at this distance from the first.
    #[inline]
    pub const fn new(position: u64) -> Self {
        Token(position)
    }

    /// Its distance from the first token.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Token {
    fn from(position: u64) -> Self {
        Token(position)
    }
}

impl From<Token> for u64 {
    fn from(token: Token) -> Self {
        token.0
    }
}

impl fmt::Display for Token {
    /// Sixteen hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&alloc::format!("{:016x}", self.0))
    }
}

/// 32 bytes that two rings share when they place every key alike: same layout version, seed, and membership
/// (ids, weights, zones).
///
/// ```
/// use hashring::HashRing;
///
/// let one = HashRing::from_nodes(["a", "b"])?;
/// let other = HashRing::from_nodes(["b", "a"])?;
/// assert_eq!(one.fingerprint(), other.fingerprint());
/// # Ok::<(), hashring::RingError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Fingerprint(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The seeds of one ring. Points and keys are hashed with different ones, so no key can be chosen by name to land
/// on a point.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    seed: u64,
    seed_points: u64,
    seed_keys: u64,
}

impl Layout {
    pub(crate) fn new(seed: u64) -> Self {
        Layout {
            seed,
            seed_points: xxh3_64_with_seed(b"clusterluck hashring v1 points", seed),
            seed_keys: xxh3_64_with_seed(b"clusterluck hashring v1 keys", seed),
        }
    }

    #[inline]
    pub(crate) fn token(&self, key: &[u8]) -> Token {
        Token(xxh3_64_with_seed(key, self.seed_keys))
    }

    /// The points `from..to` of a node, by number, not by position.
    pub(crate) fn points(&self, id: &[u8], from: u32, to: u32) -> impl Iterator<Item = u64> + use<> {
        let mut name = Vec::with_capacity(id.len() + 4);
        name.extend_from_slice(id);
        name.extend_from_slice(&[0; 4]);
        let (number_at, seed) = (id.len(), self.seed_points);
        (from..to).map(move |number| {
            name[number_at..].copy_from_slice(&number.to_le_bytes());
            xxh3_64_with_seed(&name, seed)
        })
    }

    /// Over members in the order of their ids.
    pub(crate) fn fingerprint<'a, N: RingNode + 'a>(
        &self,
        members: impl ExactSizeIterator<Item = Member<'a, N>>,
    ) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"clusterluck hashring");
        hasher.update(&LAYOUT_VERSION.to_le_bytes());
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&(members.len() as u32).to_le_bytes());
        for member in members {
            write_member(member, |bytes| {
                hasher.update(bytes);
            });
        }
        Fingerprint(*hasher.finalize().as_bytes())
    }
}

/// Tells one member as bytes, piece by piece, for the fingerprint and for the serialised form: the id after its length as
/// u16, the weight as u32, a byte that says whether there is a zone, and then its name after its length as u16. All integers
/// are little endian.
pub(crate) fn write_member<N: RingNode>(member: Member<'_, N>, mut write: impl FnMut(&[u8])) {
    write_bytes(member.node.ring_id().as_ref(), &mut write);
    write(&member.weight.to_le_bytes());
    write(&[u8::from(member.zone.is_some())]);
    if let Some(zone) = member.zone {
        write_bytes(zone.as_str().as_bytes(), &mut write);
    }
}

fn write_bytes(bytes: &[u8], write: &mut impl FnMut(&[u8])) {
    let length = u16::try_from(bytes.len()).expect("insertion refuses ids and zones over 65,535 bytes");
    write(&length.to_le_bytes());
    write(bytes);
}
