//! Server names travel once per session and direction; afterwards a small number stands for each.

use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;

use crate::node::ServerName;

/// The sending side: which number stands for a name.
#[derive(Debug, Default)]
pub(crate) struct Interned {
    ids: BTreeMap<ServerName, u64>,
}

/// A number for a name.
pub(crate) enum Lookup {
    /// The receiver knows it already.
    Known(u64),
    /// It has to be defined first.
    New(u64),
}

impl Interned {
    /// The number of a name. `None` once the table is full: the receiver would refuse more.
    pub(crate) fn lookup(&mut self, name: &ServerName) -> Option<Lookup> {
        if let Some(&id) = self.ids.get(name) {
            return Some(Lookup::Known(id));
        }
        if self.ids.len() == NAMES_MAX {
            return None;
        }
        let id = self.ids.len() as u64 + 1;
        self.ids.insert(name.clone(), id);
        Some(Lookup::New(id))
    }
}

/// The receiving side: which name a number stands for.
#[derive(Debug, Default)]
pub(crate) struct Defined {
    names: Vec<ServerName>,
}

/// Why a DEFINE was refused. The session is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum DefineError {
    #[error("a server name is not defined in sequence")]
    OutOfSequence,
    #[error("more than {NAMES_MAX} server names")]
    TooMany,
    #[error("a server name is malformed")]
    Name,
}

impl Defined {
    /// Takes in a DEFINE frame.
    pub(crate) fn define(&mut self, id: u64, name: &Bytes) -> Result<(), DefineError> {
        if self.names.len() == NAMES_MAX {
            return Err(DefineError::TooMany);
        }
        if id != self.names.len() as u64 + 1 {
            return Err(DefineError::OutOfSequence);
        }
        let name = std::str::from_utf8(name).map_err(|_| DefineError::Name)?;
        self.names.push(ServerName::try_from(name.to_owned()).map_err(|_| DefineError::Name)?);
        Ok(())
    }

    /// The name a number stands for.
    pub(crate) fn name(&self, id: u64) -> Option<&ServerName> {
        self.names.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }
}

/// Names one direction of a session may define: at most 64 Ki names × 255 bytes, which a peer that holds the
/// cookie has to send in full before they are kept.
const NAMES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_defined_once_and_found_by_its_number() {
        let (mut interned, mut defined) = (Interned::default(), Defined::default());
        for name in ["a", "b"] {
            let name = ServerName::new(name).unwrap();
            let Some(Lookup::New(id)) = interned.lookup(&name) else { panic!("{name} was known") };
            defined.define(id, &Bytes::copy_from_slice(name.as_str().as_bytes())).unwrap();
            assert_eq!(defined.name(id), Some(&name));
            assert!(matches!(interned.lookup(&name), Some(Lookup::Known(known)) if known == id));
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
}
