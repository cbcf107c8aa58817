//! Conformance suites: what every implementation of the crate's traits has to do, as functions that panic where one
//! does not. And [`Gated`], a server for the suite of [`Dispatch`](netkernel::Dispatch).

mod gated;

pub use gated::Gated;

use std::collections::BTreeSet;

use crate::locate::Locate;

/// A [`Locate`] answers the same for the same key, gives different nodes, never more than were asked for, and its
/// longer answers begin with the shorter ones.
///
/// # Panics
///
/// Where the implementation does not conform.
pub fn locate(locate: &dyn Locate) {
    let layout = locate.locate(b"", 1).layout;
    for number in 0..200_u32 {
        let key = number.to_le_bytes();
        let all = locate.locate(&key, usize::MAX);
        assert_eq!(locate.locate(&key, usize::MAX), all, "the same answer while nothing changes");
        let different: BTreeSet<_> = all.nodes.iter().collect();
        assert_eq!(different.len(), all.nodes.len(), "no node twice: {:?}", all.nodes);
        for count in 0..=all.nodes.len() {
            let some = locate.locate(&key, count);
            assert_eq!(some.nodes[..], all.nodes[..count], "the first {count} of them");
            assert_eq!(some.layout, layout, "one layout for all keys");
        }
        assert_eq!(all.owner(), all.nodes.first(), "the owner comes first");
    }
}
