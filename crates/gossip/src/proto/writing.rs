//! Local writes: each is on disk before anyone hears of it, one at a time, in the order they were wanted.

use std::collections::VecDeque;

use crate::error::Unavailable;
use crate::event::Event;

use super::drafts::{Draft, Intent, Then};
use super::hash::Hash;
use super::machine::Machine;
use super::operations::Outcome;
use super::ports::{Action, ImageId};
use super::record::Fact;
use super::roster::Roster;
use super::stability::Stability;
use super::time::Now;

/// The queue of local writes, and what of the state is on disk.
#[derive(Debug, Default)]
pub(super) struct Writer {
    queue: VecDeque<Intent>,
    storing: Option<Storing>,
    next_image: u64,
    dirty_ms: Option<u64>,
    retry_ms: u64,
    durable: Hash,
    failing: bool,
}

/// An image on its way to disk.
#[derive(Debug)]
struct Storing {
    image: ImageId,
    /// The hash of what was seen in it.
    seen: Hash,
    /// The local write it holds, if it was made for one, and what to try again should it fail.
    write: Option<(Draft, Option<Intent>)>,
}

impl Writer {
    /// Wants a write. An upkeep that waits already is not wanted twice: what it writes is decided when its turn comes, and a
    /// disk that takes nothing for hours must not let them pile up.
    pub(super) fn push(&mut self, intent: Intent) {
        match self.queue.iter_mut().find(|waiting| waiting.is_same_upkeep(&intent)) {
            Some(waiting) => *waiting = intent,
            None => self.queue.push_back(intent),
        }
    }

    /// Whether so many operations wait that no more are taken.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= WAITING_MAX
    }

    /// The state on disk is behind; write it by then, or at once.
    pub(super) fn mark_dirty(&mut self, by_ms: Option<u64>) {
        self.dirty_ms = Some(by_ms.unwrap_or(0).min(self.dirty_ms.unwrap_or(u64::MAX)));
    }

    /// What was seen in the state that this boot found on disk.
    pub(super) fn resume(&mut self, seen: Hash) {
        self.durable = seen;
    }

    /// Whether what is on disk, or on its way there, is not all of this.
    fn is_behind(&self, seen: Hash) -> bool {
        self.dirty_ms.is_none() && self.storing.as_ref().map_or(self.durable, |storing| storing.seen) != seen
    }

    /// The hash of what was seen as it is on disk.
    pub(super) fn durable(&self) -> Hash {
        self.durable
    }

    /// Whether the last write failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failing
    }

    /// Whether everything that was wanted and everything that was heard is on disk.
    pub(super) fn is_settled(&self) -> bool {
        self.storing.is_none() && self.dirty_ms.is_none() && self.queue.is_empty()
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        let wants = !self.queue.is_empty() || self.dirty_ms.is_some();
        let due = self.dirty_ms.filter(|_| self.queue.is_empty()).unwrap_or(0);
        (wants && self.storing.is_none()).then_some(due.max(self.retry_ms))
    }

    fn intents(&self) -> impl Iterator<Item = &Intent> {
        let stored = self.storing.iter().filter_map(|storing| storing.write.as_ref()?.1.as_ref());
        self.queue.iter().chain(stored)
    }

    /// Whether this node is about to write itself back into the ring.
    pub(super) fn is_returning(&self) -> bool {
        self.intents().any(|intent| matches!(intent, Intent::Return(..) | Intent::Accept { .. }))
    }

    /// Whether this node is about to gather what its runs said.
    pub(super) fn is_gathering(&self) -> bool {
        self.intents().any(|intent| matches!(intent, Intent::Gather))
    }

    /// Whether the own record is about to be rewritten.
    pub(super) fn is_announcing(&self) -> bool {
        self.is_returning()
            || self
                .intents()
                .any(|intent| matches!(intent, Intent::Announce | Intent::Mint | Intent::Found(_)))
    }

    /// This node is out of the ring: it has nothing to say of itself.
    pub(super) fn cancel_announcements(&mut self) {
        let is_own = |intent: &Intent| {
            matches!(intent, Intent::Announce | Intent::Mint | Intent::Adopt { .. } | Intent::Gather)
        };
        self.queue.retain(|intent| !is_own(intent));
    }

    fn next_image(&mut self) -> ImageId {
        self.next_image += 1;
        ImageId(self.next_image)
    }
}

// The life of a write.
impl Machine {
    /// Begins the next wanted write, if none is under way.
    pub(super) fn pump_writes(&mut self, now: Now) {
        while self.writer.storing.is_none() && now.mono_ms >= self.writer.retry_ms {
            let Some(intent) = self.writer.queue.pop_front() else { return };
            if let Some((draft, again)) = self.draft(intent, now) {
                let mut roster = match draft.fresh {
                    true => Roster::new(self.settings.rules),
                    false => self.roster.clone(),
                };
                for record in draft.records.values() {
                    if let Err(unmerged) = roster.merge(record) {
                        self.count_unmerged(record, unmerged);
                    }
                    let ended = record.own.iter().flat_map(|own| &own.ended);
                    ended.for_each(|ended| {
                        roster.retire(&self.settings.id, *ended);
                    });
                }
                let affiliation = draft.affiliation.clone().unwrap_or_else(|| self.affiliation.clone());
                let state = self.image_of(&roster, affiliation, now);
                let image = self.writer.next_image();
                let seen = roster.seen_hash();
                self.writer.storing = Some(Storing { image, seen, write: Some((draft, again)) });
                self.act(Action::Store { image, state });
            }
        }
    }

    /// Writes what others changed, once it is due.
    pub(super) fn flush(&mut self, now: Now) {
        // Others wait for this node to have on disk what it has seen, whatever it was that made it see more.
        if self.ring().is_some() && self.writer.is_behind(self.roster.seen_hash()) {
            self.writer.mark_dirty(Some(now.mono_ms + self.settings.flush_ms));
        }
        let is_due = self.writer.dirty_ms.is_some_and(|due| now.mono_ms >= due.max(self.writer.retry_ms));
        if is_due && self.writer.storing.is_none() {
            let image = self.writer.next_image();
            self.writer.storing = Some(Storing { image, seen: self.roster.seen_hash(), write: None });
            self.writer.dirty_ms = None;
            let state = self.image(now);
            self.act(Action::Store { image, state });
        }
    }

    pub(super) fn on_stored(&mut self, image: ImageId, result: Result<(), String>, now: Now) {
        let stored = self.writer.storing.take_if(|storing| storing.image == image);
        let Some(Storing { seen, write, .. }) = stored else { return };
        match result {
            Ok(()) => {
                self.writer.durable = seen;
                self.writer.failing = false;
                match write {
                    Some((draft, _)) if draft.is_of_members() && self.ring().is_none() => {
                        self.fail(&draft.then, Unavailable::Evicted);
                    }
                    Some((draft, _)) => self.commit(draft, now),
                    None => {}
                }
            }
            Err(reason) => {
                self.stats.failed_stores += 1;
                self.writer.retry_ms = now.mono_ms + RETRY_MS;
                self.writer.mark_dirty(None);
                if !std::mem::replace(&mut self.writer.failing, true) {
                    self.emit(Event::NotStored { reason: reason.clone() });
                }
                if let Some((draft, again)) = write {
                    // Its events may be on disk after all, so no other write may bear them.
                    self.identity.leave_actor();
                    match again {
                        Some(intent) => self.writer.queue.push_front(intent),
                        None => self.fail(&draft.then, Unavailable::NotStored { reason }),
                    }
                }
            }
        }
        self.stop_when_settled();
    }

    /// The write is on disk: it happens now.
    fn commit(&mut self, draft: Draft, now: Now) {
        let Draft { records, affiliation, fresh, then } = draft;
        if fresh {
            self.affiliation_changed();
            self.roster = Roster::new(self.settings.rules);
            self.stability = Stability::default();
            self.rumours.clear();
        }
        if self.incarnation != self.identity.incarnation() {
            self.incarnation = self.identity.incarnation();
            self.act(Action::SetIncarnation(self.incarnation));
        }
        if let Some(affiliation) = affiliation {
            self.affiliation = affiliation;
            self.unaware = self.roster.removed_by_others().collect();
            self.affiliation_changed();
        }
        let mut facts = Vec::new();
        for record in records.values() {
            facts.extend(self.wrote(record, now));
        }
        self.follow(then, facts, now);
    }

    fn follow(&mut self, then: Then, facts: Vec<Fact>, now: Now) {
        match then {
            Then::Nothing => {}
            Then::Complete(token, outcome) => {
                let operation = self.operations.begin(facts);
                self.complete(token, outcome(Ok(operation)));
            }
            Then::Cut { token, ids, force } => {
                for id in ids {
                    let of_it = facts.iter().filter(|fact| fact.id == id).cloned().collect();
                    self.send_rumour(&id, of_it);
                    if force && self.links.wish(&id, None).is_some() {
                        self.act(Action::Disconnect { id, drain: false });
                    }
                }
                let operation = self.operations.begin(facts);
                self.complete(token, Outcome::Remove(Ok(operation)));
            }
            Then::Leave { token, force } => self.left(token, force, &facts, now),
            Then::Returned(token, error) => self.complete(token, Outcome::Leave(Err(error))),
            Then::Greet(id) => self.pull(&id),
            Then::Uninvited(id, reason) => self.emit(Event::InviteRefused { id, reason }),
            Then::Refuse(to, refusal) => self.refuse(&to, refusal),
        }
    }

    /// The write does not happen: whoever waits is told.
    fn fail(&mut self, then: &Then, error: Unavailable) {
        match *then {
            Then::Complete(token, outcome) => self.complete(token, outcome(Err(error))),
            Then::Cut { token, .. } => self.complete(token, Outcome::Remove(Err(error.into()))),
            Then::Leave { token, .. } | Then::Returned(token, _) => {
                self.complete(token, Outcome::Leave(Err(error.into())));
            }
            Then::Nothing | Then::Greet(_) | Then::Uninvited(..) | Then::Refuse(..) => {}
        }
    }
}

/// The pause after a write that failed.
const RETRY_MS: u64 = 1_000;

/// Local writes that may wait. They come from operators, not from traffic.
const WAITING_MAX: usize = 256;
