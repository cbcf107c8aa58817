//! Why bytes were refused.

use core::fmt;

/// Why bytes are not the encoding of anything. Nothing was changed, and no more was allocated than a small
/// multiple of the input.
///
/// Entries are counted from 0, through all parts of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The first byte is not that of the value asked for: another kind, or another version.
    Form {
        /// The first byte, if there is one.
        found: Option<u8>,
    },
    /// More entries are announced than allowed, or than the bytes could hold.
    TooMany {
        /// How many entries were announced.
        announced: u64,
        /// How many would have been accepted here.
        max: usize,
    },
    /// The bytes end within the entry.
    Truncated {
        /// Which one.
        entry: usize,
    },
    /// The entry does not come after the one before it: unsorted, or a duplicate.
    Disorder {
        /// Which one.
        entry: usize,
    },
    /// The entry counts no event.
    Zero {
        /// Which one.
        entry: usize,
    },
    /// The entry is not what encoding would have written: a number in more bytes than it needs or too large,
    /// text that is not UTF-8, a value its decoder refused.
    Malformed {
        /// Which one.
        entry: usize,
    },
    /// Bytes are left over after the value.
    Trailing {
        /// How many.
        bytes: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form { found: Some(form) } => write!(f, "form {form} is not the one expected"),
            Self::Form { found: None } => f.write_str("no bytes"),
            Self::TooMany { announced, max } => {
                write!(f, "{announced} entries announced where at most {max} are possible")
            }
            Self::Truncated { entry } => write!(f, "the bytes end within entry {entry}"),
            Self::Disorder { entry } => write!(f, "entry {entry} does not come after the one before it"),
            Self::Zero { entry } => write!(f, "entry {entry} counts no event"),
            Self::Malformed { entry } => write!(f, "entry {entry} is not in canonical form"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes are left over"),
        }
    }
}

impl core::error::Error for DecodeError {}
