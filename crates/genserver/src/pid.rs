//! Which server is meant, for good: a number that is never used again.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use netkernel::{Incarnation, NodeId, ServerName};
use serde::{Deserialize, Serialize};

/// The identity of one server: its node, the run of that node, and a number never used twice in it.
///
/// A server that is started again, by a supervisor or under the same name, is another one. Cloning costs one
/// reference count.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pid(Arc<Parts>);

#[derive(Serialize, Deserialize)]
struct Parts {
    node: NodeId,
    incarnation: Incarnation,
    number: u64,
    name: Option<ServerName>,
}

impl Pid {
    /// The bits of a number that count; those above tell runs of a node apart.
    pub(crate) const NUMBER_BITS: u32 = 40;

    pub(crate) fn new(node: NodeId, incarnation: Incarnation, number: u64, name: Option<ServerName>) -> Self {
        Self(Arc::new(Parts { node, incarnation, number, name }))
    }

    /// The node it runs on.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0.node
    }

    /// Which run of that node.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.0.incarnation
    }

    /// Its number in that run.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The name it was started under, if any. Not part of the identity.
    #[must_use]
    pub fn name(&self) -> Option<&ServerName> {
        self.0.name.as_ref()
    }

    /// The name, or else the number.
    pub(crate) fn label(&self) -> String {
        self.name().map_or_else(|| format!("#{}", self.short()), ServerName::to_string)
    }

    fn short(&self) -> u64 {
        self.number() & ((1 << Self::NUMBER_BITS) - 1)
    }
}

impl PartialEq for Pid {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.number == other.0.number
                && self.0.incarnation == other.0.incarnation
                && self.0.node == other.0.node)
    }
}

impl Eq for Pid {}

impl Hash for Pid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0.number, self.0.incarnation, &self.0.node).hash(state);
    }
}

/// `name@node`, or `#number@node`.
impl fmt::Display for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(formatter, "{name}@{}", self.node()),
            None => write!(formatter, "#{}@{}", self.short(), self.node()),
        }
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self} ({}.{:x})", self.incarnation(), self.number())
    }
}
