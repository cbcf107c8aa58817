//! What a machine does with a frame: whom it believes, what it merges, what it answers.

use netkernel::NodeId;
use serde::Serialize;

use crate::event::Event;
use crate::message::{Delta, Frame, FrameError, Header, Message, Snapshot, SyncHash};

use super::affiliation::Affiliation;
use super::entry::Entry;
use super::liveness::Input as Detected;
use super::machine::Machine;
use super::record::{Context, Fact, Record};
use super::roster::Digest;
use super::rules::Rule;
use super::time::Now;

/// Whether a node may bring records.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is a member, as far as can be told from here and from what it says of itself.
    Member,
    /// It left of itself: it may tell of that, and of nothing else.
    Leaver,
    /// It was a member once. Nothing it says counts.
    Removed,
    /// Something about it was not seen here: ask before judging.
    Unknown,
}

impl Machine {
    pub(super) fn on_frame(&mut self, from: &NodeId, bytes: &[u8], now: Now) {
        let Frame { header, message } = match Frame::decode_within(self.settings.protocols, bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.stats.bad_frames += 1;
                return self.emit(Event::BadFrame { id: from.clone(), error });
            }
        };
        if !self.has_room_for(&message, bytes.len(), now) {
            self.stats.crowded_frames += 1;
            return self.emit(Event::BadFrame { id: from.clone(), error: FrameError::NoRoom });
        }
        match message {
            _ if *from == self.settings.id || matches!(self.affiliation, Affiliation::Withdrawn(_)) => {}
            Message::Stranger => self.on_stranger(from, &header),
            Message::Invite(record) => self.on_invite(from, &header, *record, now),
            Message::InviteRefused(reason) => self.on_invite_refused(from, &header, reason),
            message if self.ring().is_none() => self.answer_from_outside(from, &header, &message),
            message if self.is_foreign(from, &header) => {
                self.stats.foreign_frames += 1;
                if !matches!(message, Message::Gone { .. } | Message::YouAreRemoved { .. }) {
                    self.send(from, &Message::Stranger);
                }
            }
            Message::Gone { record, floor, members } => {
                self.on_gone(from, record.as_deref(), floor.as_deref(), &members, now);
            }
            Message::YouAreRemoved { record, covered, floor } => {
                self.on_removed(from, record.as_deref(), &covered, floor.as_deref(), now);
            }
            Message::Goodbye if self.is_of_earlier_run(from, &header) || !self.is_member(from) => {}
            Message::Goodbye => {
                self.links.set_down(from);
                self.place(from);
                self.detect(Detected::Goodbye { id: from.clone() }, now);
                self.emit(Event::Goodbye { id: from.clone() });
            }
            message => self.on_message(from, &header, message, now),
        }
    }

    /// Whether a later run of the sender is known than the one that speaks.
    fn is_of_earlier_run(&self, from: &NodeId, header: &Header) -> bool {
        let known = self.roster.get(from).and_then(Entry::own);
        known.is_some_and(|own| own.incarnation > header.incarnation)
    }

    /// Whether the frame is of another ring or of one that places keys differently; says so if it is.
    fn is_foreign(&mut self, from: &NodeId, header: &Header) -> bool {
        if header.ring.as_ref() != self.ring() {
            self.emit(Event::ForeignRing { id: from.clone(), ring: header.ring.clone() });
            true
        } else if header.layout != self.settings.layout {
            self.emit(Event::ConfigMismatch { id: from.clone() });
            true
        } else {
            false
        }
    }

    /// A frame within the ring, of a sender that has yet to be judged.
    fn on_message(&mut self, from: &NodeId, header: &Header, message: Message, now: Now) {
        self.tell_of_itself(from, header);
        match (self.judge(from, header, &message), message) {
            (Verdict::Removed, _) => self.turn_away(from, header),
            (Verdict::Leaver, Message::Rumor { mut records, mut facts }) => {
                records.retain(|record| record.id == *from);
                facts.retain(|fact| fact.id == *from);
                self.on_rumour(from, &records, facts, now);
            }
            (_, Message::Digest(digest)) => self.answer_digest(from, &digest),
            (verdict, Message::Liveness(signal)) => {
                if verdict != Verdict::Member {
                    self.pull(from);
                }
                self.on_signal(from, signal, now);
            }
            (Verdict::Unknown | Verdict::Leaver, _) => self.pull(from),
            (Verdict::Member, message) => self.on_trusted(from, message, now),
        }
    }

    /// Whether the frame is of a node that was removed; tells it so if it is.
    pub(super) fn turns_away(&mut self, from: &NodeId, header: &Header, message: &Message) -> bool {
        let is_removed = self.judge(from, header, message) == Verdict::Removed;
        if is_removed {
            self.turn_away(from, header);
        }
        is_removed
    }

    fn turn_away(&mut self, from: &NodeId, header: &Header) {
        self.stats.refused_frames += 1;
        let record = self.roster.get(from).map(|entry| Box::new(entry.record().clone()));
        let floor = self.roster.floor(from).map(|floor| Box::new(floor.clone()));
        self.send(from, &Message::YouAreRemoved { record, covered: header.own.clone(), floor });
    }

    fn on_trusted(&mut self, from: &NodeId, message: Message, now: Now) {
        match message {
            Message::SyncHash(theirs) => self.compare(from, theirs, now),
            Message::Delta(delta) => self.absorb_delta(from, delta, now),
            Message::Snapshot(snapshot) => self.absorb_snapshot(from, snapshot, now),
            Message::Rumor { records, facts } => self.on_rumour(from, &records, facts, now),
            Message::Known { learned, already } => {
                learned.iter().for_each(|fact| self.rumours.acknowledged(fact, from, false));
                already.iter().for_each(|fact| self.rumours.acknowledged(fact, from, true));
                if learned.iter().chain(&already).any(|fact| fact.id == *from) {
                    self.unaware.remove(from);
                }
                self.operations.acknowledged(from, &learned);
                self.operations.acknowledged(from, &already);
            }
            Message::Meet(snapshot) => {
                self.absorb_snapshot(from, snapshot, now);
                let answer = self.snapshot();
                self.send(from, &Message::MeetAck(answer));
            }
            Message::MeetAck(snapshot) => {
                self.absorb_snapshot(from, snapshot, now);
                self.met(from);
            }
            Message::Stored { state, members } => self.on_stored_by(from, state, &members),
            // Answered before the sender was judged.
            Message::Digest(_)
            | Message::Invite(_)
            | Message::InviteRefused(_)
            | Message::YouAreRemoved { .. }
            | Message::Gone { .. }
            | Message::Goodbye
            | Message::Liveness(_)
            | Message::Stranger => {}
        }
    }

    fn absorb_delta(&mut self, from: &NodeId, delta: Delta, now: Now) {
        let Delta { base, records, floors, retired, upto } = delta;
        let sunk = self.sink(from, &floors, now);
        let (news, whole) = self.absorb(from, &records, now);
        let is_base_here = self.roster.has_seen(&base) || !self.keeps(Rule::BaseIsCovered);
        let is_all = upto.is_some() && whole && is_base_here;
        self.retire(from, &retired, is_all, now);
        match upto {
            Some(upto) => {
                if is_all {
                    self.join(&upto, now);
                }
                self.tell_retired(from, upto);
            }
            // The rest did not fit. Without news, asking again would bring the same.
            None if news || sunk => self.pull(from),
            None => {}
        }
    }

    /// Tells a node of the actors that it still counts and that are retired.
    fn tell_retired(&mut self, to: &NodeId, counted: Context) {
        let retired: Vec<_> = self.roster.retired_for(&counted).collect();
        if !retired.is_empty() {
            let delta = Delta { base: counted, records: Vec::new(), floors: Vec::new(), retired, upto: None };
            self.send(to, &Message::Delta(delta));
        }
    }

    /// Judges the sender by its own record as it stands here, together with what the frame brings of it.
    fn judge(&self, from: &NodeId, header: &Header, message: &Message) -> Verdict {
        let here = self.roster.get(from);
        let brought = message.records().iter().find(|record| record.id == *from);
        let brought = brought.filter(|record| self.is_news(record));
        let tried = brought.filter(|_| self.keeps(Rule::BroughtIsTried));
        let trial = tried.and_then(|brought| self.roster.trial(brought).ok()?.0);
        let entry = trial.as_ref().or(here);
        let left_of_itself = |entry: &Entry| entry.removal().is_some_and(|(by, _)| by == from);
        let in_past = |dot| {
            let here = here.is_some_and(|here| here.versions().contains(dot));
            here || self.roster.has_seen_dot(dot)
        };
        let was_here = here.is_some() || !header.own.is_empty();
        if !self.keeps(Rule::RemovedBringsNothing) {
            return Verdict::Member;
        }
        if entry.is_some_and(|entry| entry.membership().is_some()) {
            Verdict::Member
        } else if entry.is_some_and(left_of_itself) && matches!(message, Message::Rumor { .. }) {
            Verdict::Leaver
        } else if brought.is_some() || was_here && header.own.iter().all(in_past) {
            Verdict::Removed
        } else if self.keeps(Rule::UnknownIsPulled) {
            Verdict::Unknown
        } else {
            Verdict::Removed
        }
    }

    /// Whether the record holds a roster event that was not seen here.
    fn is_news(&self, record: &Record) -> bool {
        record.versions.siblings().any(|(dot, _)| !self.roster.has_seen_dot(dot))
    }

    /// A node that runs under a lower incarnation than is known of it has to learn that.
    pub(super) fn tell_of_itself(&mut self, from: &NodeId, header: &Header) {
        if self.is_of_earlier_run(from, header) {
            let record = self.roster.get(from).map(|entry| entry.record().clone());
            self.send(from, &Message::Rumor { records: record.into_iter().collect(), facts: Vec::new() });
        }
    }

    /// Compares with the partner that was asked whether it is there, or a random one, and invites a random member that has
    /// not come yet.
    pub(super) fn compare_with_someone(&mut self, asked: Option<&NodeId>, now: Now) {
        if self.ring().is_none() {
            return;
        }
        self.notify_removed(now);
        let partners = self.circle.partners();
        let asked = asked.filter(|id| partners.binary_search(id).is_ok());
        if let Some(partner) = asked.or_else(|| self.random.pick(partners)).cloned() {
            self.greet(&partner, now);
            self.tell_stored(&partner, now);
        }
        if let Some(newcomer) = self.random.pick(self.circle.joining()).cloned() {
            self.invite(&newcomer);
        }
    }

    /// Starts a comparison. While quiet it only asks, and says nothing that could spread.
    pub(super) fn greet(&mut self, to: &NodeId, now: Now) {
        if self.is_quiet(now) {
            return self.pull(to);
        }
        self.send_hash(to);
    }

    fn send_hash(&mut self, to: &NodeId) {
        let (seen, live) = (self.roster.seen_hash(), self.roster.live_hash());
        let durable = self.writer.durable();
        self.send(to, &Message::SyncHash(SyncHash { seen, live, durable }));
    }

    /// Asks for what is missing here.
    pub(super) fn pull(&mut self, from: &NodeId) {
        let digest = self.roster.digest();
        self.send(from, &Message::Digest(digest));
    }

    fn compare(&mut self, from: &NodeId, theirs: SyncHash, now: Now) {
        let (seen, live) = (self.roster.seen_hash(), self.roster.live_hash());
        let is_durable = self.keeps(Rule::AcknowledgementIsDurable);
        self.heard_durable(from, if is_durable { theirs.durable } else { theirs.seen });
        if theirs.seen != seen {
            self.agreed.remove(from);
            self.answer_difference(from, now);
        } else if theirs.live != live && self.keeps(Rule::DivergenceIsHealed) {
            self.stats.divergences += 1;
            let everything = self.snapshot();
            self.send(from, &Message::Snapshot(everything));
        } else {
            self.exchanged(now);
            self.agrees(from);
        }
    }

    /// A member has not the same. If this node has news that the member may not have heard, that is most likely why, and
    /// telling it takes a tenth of what finding out takes; if not, the next comparison does.
    fn answer_difference(&mut self, from: &NodeId, now: Now) {
        let untold = if self.is_quiet(now) { Vec::new() } else { self.rumours.untold(from) };
        if !untold.is_empty() {
            self.send_rumour(from, untold);
        } else if self.pulls.take(now.mono_ms) {
            self.pull(from);
        }
    }

    /// Takes note that a member has exactly what is here, and says so when it was the last of them.
    fn agrees(&mut self, from: &NodeId) {
        // Whoever is in the circle counts among the others: a large ring is not looked through until all of it agrees.
        if self.agreed.insert(from.clone()) && self.agreed.len() >= self.circle.partners().len() {
            let others = self.others();
            if !others.is_empty()
                && self.agreed.len() == others.len()
                && others.iter().all(|id| self.agreed.contains(id))
            {
                self.emit(Event::Converged { members: others.len() + 1 });
            }
        }
    }

    fn answer_digest(&mut self, from: &NodeId, theirs: &Digest) {
        // That others know a later run of it this node has heard, and will outdo once its disk lets it.
        let heard = self.writer.is_announcing().then_some(&self.settings.id);
        let (has_news, lacks) = (self.roster.has_news_for(theirs), self.roster.lacks(theirs, heard));
        if has_news {
            let mut room = Room::of(self.settings.frame_bytes_max);
            let floors = room.fit(self.roster.floors_for(&theirs.context));
            let records = room.fit(self.roster.records_for(theirs));
            let retired = self.roster.retired_for(&theirs.context).collect();
            let is_known = self.roster.get(from).is_some_and(|entry| entry.own().is_some());
            self.stats.below_floor += u64::from(!floors.is_empty() && is_known);
            let is_complete = room.held_all() || !self.keeps(Rule::DeltaIsComplete);
            let upto = is_complete.then(|| self.roster.context().clone());
            let base = theirs.context.clone();
            self.send(from, &Message::Delta(Delta { base, records, floors, retired, upto }));
        }
        if lacks {
            self.pull(from);
        } else if !has_news {
            // Not the hash: should that still differ, the two would ask each other without end.
            let (base, upto) = (theirs.context.clone(), Some(self.roster.context().clone()));
            let (records, floors, retired) = Default::default();
            self.send(from, &Message::Delta(Delta { base, records, floors, retired, upto }));
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut room = Room::of(self.settings.frame_bytes_max);
        let floors = room.fit(self.roster.floors().map(AsRef::as_ref));
        let records = room.fit(self.roster.iter().map(|(_, entry)| entry.record()));
        Snapshot { records, floors, context: room.held_all().then(|| self.roster.context().clone()) }
    }

    fn absorb_snapshot(&mut self, from: &NodeId, snapshot: Snapshot, now: Now) {
        let sunk = self.sink(from, &snapshot.floors, now);
        let (news, whole) = self.absorb(from, &snapshot.records, now);
        match snapshot.context {
            Some(context) if whole => {
                self.drop_replaced(from, &snapshot.records, &context, now);
                self.join(&context, now);
                self.tell_retired(from, context);
            }
            None if news || sunk => self.pull(from),
            Some(_) | None => {}
        }
    }

    /// Everything in `upto` has arrived, or had before.
    fn join(&mut self, upto: &Context, now: Now) {
        self.roster.join(upto);
        self.exchanged(now);
    }

    /// An exchange has completed: what this node says from now on is not older than what it could have known.
    fn exchanged(&mut self, now: Now) {
        self.quiet_until_ms = self.quiet_until_ms.min(now.mono_ms);
    }

    fn on_rumour(&mut self, from: &NodeId, records: &[Record], facts: Vec<Fact>, now: Now) {
        let (already, unknown): (Vec<_>, Vec<_>) =
            facts.into_iter().partition(|fact| self.roster.covers(fact));
        self.absorb(from, records, now);
        let learned: Vec<_> = unknown.into_iter().filter(|fact| self.roster.covers(fact)).collect();
        already.iter().for_each(|fact| self.rumours.acknowledged(fact, from, false));
        if !(learned.is_empty() && already.is_empty()) {
            self.send(from, &Message::Known { learned, already });
        }
    }
}

/// The room in one frame.
struct Room {
    bytes: usize,
    is_full: bool,
}

impl Room {
    fn of(bytes: usize) -> Self {
        Self { bytes, is_full: false }
    }

    /// As many of these as fit.
    fn fit<'a, T: Clone + Serialize + 'a>(&mut self, items: impl Iterator<Item = &'a T>) -> Vec<T> {
        let fits = |item: &&T| {
            let size = postcard::experimental::serialized_size(*item).unwrap_or(usize::MAX);
            self.is_full |= size > self.bytes;
            self.bytes = self.bytes.saturating_sub(size);
            !self.is_full
        };
        items.take_while(fits).cloned().collect()
    }

    /// Whether everything fitted.
    fn held_all(&self) -> bool {
        !self.is_full
    }
}
