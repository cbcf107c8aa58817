//! Server names travel once per session and direction; afterwards a small number stands for each.
//!
//! Numbers count up from 1 and are never used twice. Both ends remember the last [`NAMES_MAX`] names: naming one more
//! makes both forget the oldest, which is named anew when it is needed again. So a session may name any number of
//! servers in its life, and memory stays bounded.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use thiserror::Error;

use crate::node::ServerName;

/// The sending side: which number stands for a name.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    ids: BTreeMap<ServerName, u64>,
    /// The names known to the receiver, oldest first.
    order: VecDeque<ServerName>,
    defined: u64,
}

/// A number for a name.
pub(crate) enum Lookup {
    /// The receiver knows it already.
    Known(u64),
    /// It has to be defined first.
    New(u64),
}

impl Interned {
    /// The number of a name.
    pub(crate) fn lookup(&mut self, name: &ServerName) -> Lookup {
        if let Some(&id) = self.ids.get(name) {
            return Lookup::Known(id);
        }
        if self.order.len() == NAMES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.defined += 1;
        self.ids.insert(name.clone(), self.defined);
        self.order.push_back(name.clone());
        Lookup::New(self.defined)
    }
}

/// The receiving side: which name a number stands for.
#[derive(Debug, Default)]
pub(crate) struct Defined {
    /// The names remembered, the last defined at the back.
    names: VecDeque<ServerName>,
    defined: u64,
}

/// Why a DEFINE was refused. The session is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum DefineError {
    #[error("a server name is not defined in sequence")]
    OutOfSequence,
    #[error("a server name is malformed")]
    Name,
}

impl Defined {
    /// Takes in a DEFINE frame.
    pub(crate) fn define(&mut self, id: u64, name: &Bytes) -> Result<(), DefineError> {
        if id != self.defined + 1 {
            return Err(DefineError::OutOfSequence);
        }
        let name = std::str::from_utf8(name).map_err(|_| DefineError::Name)?;
        let name = ServerName::try_from(name.to_owned()).map_err(|_| DefineError::Name)?;
        if self.names.len() == NAMES_MAX {
            self.names.pop_front();
        }
        self.names.push_back(name);
        self.defined = id;
        Ok(())
    }

    /// The name a number stands for, if it is remembered.
    pub(crate) fn name(&self, id: u64) -> Option<&ServerName> {
        let forgotten = self.defined - self.names.len() as u64;
        self.names.get(usize::try_from(id.checked_sub(forgotten + 1)?).ok()?)
    }
}

/// Names one direction of a session remembers: 1 MiB at their longest. More servers than this take turns in being
/// named, at a cost of one small frame each.
pub(crate) const NAMES_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_defined_once_and_found_by_its_number() {
        let (mut interned, mut defined) = (Interned::default(), Defined::default());
        for name in ["a", "b"] {
            let name = ServerName::new(name).unwrap();
            let Lookup::New(id) = interned.lookup(&name) else { panic!("{name} was known") };
            defined.define(id, &Bytes::copy_from_slice(name.as_str().as_bytes())).unwrap();
            assert_eq!(defined.name(id), Some(&name));
            assert!(matches!(interned.lookup(&name), Lookup::Known(known) if known == id));
        }
    }

    #[test]
    fn numbers_out_of_sequence_and_bad_names_are_refused() {
        let mut defined = Defined::default();
        let name = Bytes::from_static(b"a");
        assert_eq!(defined.define(2, &name), Err(DefineError::OutOfSequence));
        assert_eq!(defined.define(0, &name), Err(DefineError::OutOfSequence));
        assert_eq!(defined.define(1, &Bytes::new()), Err(DefineError::Name));
        assert_eq!(defined.define(1, &Bytes::from_static(&[0xff])), Err(DefineError::Name));
        assert_eq!(defined.name(0), None);
        assert_eq!(defined.name(1), None);
    }

    #[test]
    fn both_ends_forget_the_oldest_name_together() {
        let (mut interned, mut defined) = (Interned::default(), Defined::default());
        let name = |number: usize| ServerName::new(format!("server {number}")).unwrap();
        for number in (0..3 * NAMES_MAX).chain([0, 3 * NAMES_MAX - 1]) {
            let name = name(number);
            let id = match interned.lookup(&name) {
                Lookup::Known(id) => id,
                Lookup::New(id) => {
                    defined.define(id, &Bytes::copy_from_slice(name.as_str().as_bytes())).unwrap();
                    id
                }
            };
            assert_eq!(defined.name(id), Some(&name));
        }
        assert_eq!((interned.ids.len(), interned.order.len()), (NAMES_MAX, NAMES_MAX));
        assert_eq!(defined.names.len(), NAMES_MAX);
        assert_eq!((defined.name(1), defined.name(u64::MAX)), (None, None));
    }
}
