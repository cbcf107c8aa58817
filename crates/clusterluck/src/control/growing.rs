//! Structs that may get more fields from release to release, wherever they stand in a message.
//!
//! Each travels with its length before it. A reader that knows fewer fields skips the rest; one that knows more finds
//! zeros where the writer had nothing to say: 0, `false`, an empty text, an empty list, `None`. So fields are only ever
//! appended, and mean the same by their zero as by their absence.
//!
//! Without the length, a field appended to the elements of a list would be read as the begin of the next element.

use postcard::de_flavors::Flavor;
use postcard::{Deserializer, Error, Result};
use serde::Deserialize;

/// Lets structs that derive serde's traits with `#[serde(remote = "Self")]` travel with their lengths.
macro_rules! growing {
    ($($name:ident),+ $(,)?) => { $(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                struct Fields<'a>(&'a $name);
                impl serde::Serialize for Fields<'_> {
                    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                        $name::serialize(self.0, serializer)
                    }
                }
                let fields = postcard::to_allocvec(&Fields(self)).map_err(serde::ser::Error::custom)?;
                serializer.serialize_bytes(&fields)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Fields($name);
                impl<'de> serde::Deserialize<'de> for Fields {
                    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                        $name::deserialize(deserializer).map(Self)
                    }
                }
                let bytes = <&[u8]>::deserialize(deserializer)?;
                let fields: Fields = $crate::control::growing::padded(bytes).map_err(serde::de::Error::custom)?;
                Ok(fields.0)
            }
        }
    )+ };
}

pub(crate) use growing;

/// Reads fields that end where the writer knew no more.
pub(crate) fn padded<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T> {
    T::deserialize(&mut Deserializer::from_flavor(Padded { bytes, zeros: ZEROS }))
}

/// Bytes with a few zeros behind them: too few for a list that claims to be long.
struct Padded<'de> {
    bytes: &'de [u8],
    zeros: &'de [u8],
}

impl<'de> Flavor<'de> for Padded<'de> {
    type Remainder = ();
    type Source = &'de [u8];

    fn pop(&mut self) -> Result<u8> {
        self.try_take_n(1).map(|taken| taken[0])
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.bytes.len())
    }

    fn try_take_n(&mut self, count: usize) -> Result<&'de [u8]> {
        // What the writer began it has ended: no field is half there.
        let absent = self.bytes.is_empty();
        let source = if absent { &mut self.zeros } else { &mut self.bytes };
        if absent && count > NUMBER_BYTES {
            // A text that was announced, and did not come.
            return Err(Error::DeserializeUnexpectedEnd);
        }
        let (taken, rest) = source.split_at_checked(count).ok_or(Error::DeserializeUnexpectedEnd)?;
        *source = rest;
        Ok(taken)
    }

    fn finalize(self) -> Result<()> {
        Ok(())
    }
}

/// The largest number that is not written digit by digit.
const NUMBER_BYTES: usize = size_of::<f64>();
/// Room for more fields than any release will append.
const ZEROS: &[u8] = &[0; 256];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(remote = "Self")]
    struct Old {
        id: String,
        weight: u32,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(remote = "Self")]
    struct New {
        id: String,
        weight: u32,
        zone: Option<String>,
        load: f64,
        tags: BTreeMap<String, String>,
        place: Option<Old>,
    }

    growing!(Old, New);

    fn old(id: &str, weight: u32) -> Old {
        Old { id: id.into(), weight }
    }

    fn new(id: &str, weight: u32, rest: bool) -> New {
        New {
            id: id.into(),
            weight,
            zone: rest.then(|| "z".into()),
            load: if rest { 0.5 } else { 0.0 },
            tags: BTreeMap::from_iter(rest.then(|| ("k".into(), "v".into()))),
            place: rest.then(|| old("p", 1)),
        }
    }

    fn carried<A: Serialize, B: for<'de> Deserialize<'de>>(sent: &A) -> postcard::Result<B> {
        postcard::from_bytes(&postcard::to_allocvec(sent).unwrap())
    }

    #[test]
    fn an_old_reader_skips_what_it_does_not_know_in_every_element_of_a_list() {
        let sent = vec![new("a", 1, true), new("b", 300, false)];
        assert_eq!(carried(&sent), Ok(vec![old("a", 1), old("b", 300)]));
    }

    #[test]
    fn a_new_reader_finds_zeros_where_an_old_writer_said_nothing() {
        let sent = (vec![old("a", 1), old("b", 300)], 7_u8);
        assert_eq!(carried(&sent), Ok((vec![new("a", 1, false), new("b", 300, false)], 7_u8)));
    }

    #[test]
    fn the_same_release_reads_all() {
        let sent = vec![new("a", 1, true), new("b", 2, false)];
        assert_eq!(carried(&sent), Ok(vec![new("a", 1, true), new("b", 2, false)]));
    }

    #[test]
    fn a_claim_of_more_than_there_is_ends() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(remote = "Self")]
        struct Long {
            list: Vec<u8>,
        }
        growing!(Long);
        // A length of one byte, then the claim of 2^62 elements and none of them.
        let claim = [&[9][..], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]].concat();
        assert!(postcard::from_bytes::<Long>(&claim).is_err());
    }
}
