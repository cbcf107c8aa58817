//! Who has the present state on disk, known to everyone within some comparisons.
//!
//! A member tells what it has on disk to one partner a second. Until each has heard that from each itself takes about
//! n ln n seconds: two hours among a thousand. So while something is old enough to be forgotten, members pass on of whom
//! they know it, one bit each by id: all that are in one state have the same members. That is everywhere within the
//! logarithm of their number. Once nothing was new for a while it is told seldom, for a member that is down may hold all
//! back for days.

use bytes::Bytes;
use netkernel::NodeId;

use crate::message::Message;

use super::hash::Hash;
use super::machine::Machine;
use super::time::Now;

/// The members that are known to have a state on disk.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The hash of what was seen, and of who the members are.
    state: Hash,
    /// A bit for each member, by id; the first is the lowest of the first byte.
    members: Vec<u8>,
    /// Comparisons since one was new.
    told: u32,
}

impl Stored {
    /// Begins anew when the state is another.
    fn enter(&mut self, state: Hash, members: usize) {
        let bytes = members.div_ceil(8);
        if (self.state, self.members.len()) != (state, bytes) {
            *self = Self { state, members: vec![0; bytes], told: 0 };
        }
    }

    fn insert(&mut self, at: usize) {
        if !self.contains(at) {
            self.members[at / 8] |= 1 << (at % 8);
            self.told = 0;
        }
    }

    /// Itself, if it is about this state.
    pub(super) fn of(&self, state: Hash) -> Option<&Self> {
        (self.state == state).then_some(self)
    }

    /// Whether the member at this place has the state on disk.
    pub(super) fn contains(&self, at: usize) -> bool {
        self.members.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
    }

    /// Takes in what another knows of the same state, and returns whether that lacks something that is known here.
    fn merge(&mut self, theirs: &[u8]) -> bool {
        let mut lacks = false;
        for (mine, theirs) in self.members.iter_mut().zip(theirs) {
            lacks |= *mine & !theirs != 0;
            if *theirs & !*mine != 0 {
                *mine |= theirs;
                self.told = 0;
            }
        }
        lacks
    }

    /// Whether to tell it with this comparison.
    fn is_due(&mut self) -> bool {
        self.told = self.told.saturating_add(1);
        self.told <= TOLD_AT_ONCE || self.told.is_multiple_of(TOLD_LATER)
    }
}

impl Machine {
    /// Counts this node, and `teller` if it has the present state on disk, among those that are known to.
    pub(super) fn note_stored(&mut self, teller: Option<(&NodeId, Hash)>) {
        let seen = self.roster.seen_hash();
        let members = self.must_acknowledge();
        self.stability.stored.enter(self.state_of(&members), members.len());
        let mine = (&self.settings.id, self.writer.durable());
        for (id, durable) in teller.into_iter().chain([mine]) {
            if let Some(at) = members.binary_search(id).ok().filter(|_| durable == seen) {
                self.stability.stored.insert(at);
            }
        }
    }

    /// Tells a partner who has the present state on disk, while something waits for that.
    pub(super) fn tell_stored(&mut self, to: &NodeId, now: Now) {
        if self.is_quiet(now) || !self.has_overdue(now) {
            return;
        }
        self.note_stored(None);
        if self.stability.stored.is_due() {
            self.send_stored(to);
        }
    }

    fn send_stored(&mut self, to: &NodeId) {
        let Stored { state, members, .. } = &self.stability.stored;
        let message = Message::Stored { state: *state, members: Bytes::copy_from_slice(members) };
        self.send(to, &message);
    }

    /// A member tells who has a state on disk. It counts if that is the present one, also where nothing waits any more:
    /// the last to wait asks the others.
    pub(super) fn on_stored_by(&mut self, from: &NodeId, state: Hash, theirs: &[u8]) {
        self.note_stored(None);
        let stored = &mut self.stability.stored;
        if stored.state == state && stored.members.len() == theirs.len() && stored.merge(theirs) {
            self.send_stored(from);
        }
    }

    /// The present state as others name it: with the members, for they are told by their places.
    pub(super) fn state_of(&self, members: &[NodeId]) -> Hash {
        Hash::of(&(self.roster.seen_hash(), members))
    }
}

/// Comparisons with which it is told since something was new: by then everyone has most likely heard of it.
const TOLD_AT_ONCE: u32 = 8;

/// With every so-and-so-many-th it is told after that.
const TOLD_LATER: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(places: &[usize]) -> Stored {
        let mut stored = Stored::default();
        stored.enter(Hash::of(&1), 20);
        places.iter().for_each(|at| stored.insert(*at));
        stored
    }

    #[test]
    fn what_two_know_of_one_state_is_known_to_both() {
        let (mut mine, theirs) = (of(&[0, 9]), of(&[9, 19]));
        assert!(mine.merge(&theirs.members), "they lack the first");
        assert!((0..20).all(|at| mine.contains(at) == [0, 9, 19].contains(&at)));
        assert!(!mine.merge(&of(&[0, 9, 19]).members));
        assert!(!mine.contains(24), "nobody is there");
    }

    #[test]
    fn another_state_begins_with_nobody() {
        let mut stored = of(&[3]);
        stored.enter(Hash::of(&1), 20);
        assert!(stored.contains(3));
        stored.enter(Hash::of(&2), 20);
        assert!(!stored.contains(3));
    }

    #[test]
    fn it_is_told_often_while_it_is_new_and_seldom_after() {
        let mut stored = of(&[3]);
        let told = |stored: &mut Stored| (0..160).filter(|_| stored.is_due()).count();
        assert_eq!(told(&mut stored), 18);
        stored.insert(4);
        assert_eq!(told(&mut stored), 18);
    }
}
