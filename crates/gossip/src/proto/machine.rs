//! The membership of one node as a pure state machine: events and the time in, actions and a deadline out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use netkernel::{Address, Incarnation, NodeId};

use crate::error::StartError;
use crate::event::{Cause, Event};
use crate::message::{Frame, Header, Message};
use crate::ring_name::RingName;

use super::affiliation::Affiliation;
use super::allowance::Allowance;
use super::capacity::Capacity;
use super::circle::Circle;
use super::drafts::Intent;
use super::duplicates::Probe;
use super::floor::Floor;
use super::identity::Identity;
use super::image::Image;
use super::links::Links;
use super::liveness::{FailureDetector, Input as Detected, Outages};
use super::meeting::Meets;
use super::membership::Leaving;
use super::operations::{Operations, Outcome, Token};
use super::ports::{Action, DialId, Input, Stats};
use super::random::Random;
use super::record::Protocols;
use super::roster::Roster;
use super::rules::Rule;
use super::rumour::Rumours;
use super::settings::Settings;
use super::stability::Stability;
use super::stamp::StampClock;
use super::time::Now;
use super::writing::Writer;

/// The membership of one node.
///
/// It has no clock, no randomness of its own, no disk and no network. Its driver calls
/// [`handle`](Self::handle) for each event and [`wake`](Self::wake) when [`deadline_ms`](Self::deadline_ms) has
/// come, and after each call carries out all of [`poll_action`](Self::poll_action) in order.
#[derive(Debug)]
pub struct Machine {
    pub(super) settings: Settings,
    pub(super) affiliation: Affiliation,
    pub(super) identity: Identity,
    /// The incarnation others may know of: `identity` runs ahead of it while a write is under way.
    pub(super) incarnation: Incarnation,
    pub(super) roster: Roster,
    pub(super) stamps: StampClock,
    pub(super) random: Random,
    pub(super) links: Links,
    pub(super) circle: Circle,
    pub(super) capacity: Capacity,
    pub(super) rumours: Rumours,
    pub(super) operations: Operations,
    pub(super) meets: Meets,
    pub(super) probe: Option<Probe>,
    pub(super) leaving: Option<Leaving>,
    /// Nodes that were removed and are not known to have heard of it, and where they were last.
    pub(super) unaware: BTreeMap<NodeId, Address>,
    /// Dials to tell one of them, and how long they may take.
    pub(super) notices: BTreeMap<DialId, (NodeId, u64)>,
    pub(super) writer: Writer,
    pub(super) stability: Stability,
    pub(super) draining: bool,
    pub(super) tags: BTreeMap<String, String>,
    /// Members that said they have exactly what is here.
    pub(super) agreed: BTreeSet<NodeId>,
    /// Comparisons begun because a session came up. What is left out the comparison of each second finds.
    pub(super) greetings: Allowance,
    /// Answers to comparisons that differ.
    pub(super) pulls: Allowance,
    /// Until when nothing is said unasked.
    pub(super) quiet_until_ms: u64,
    pub(super) detector: Box<dyn FailureDetector>,
    /// As which run of this node the detector speaks.
    pub(super) detected_as: Option<Incarnation>,
    pub(super) outages: Outages,
    pub(super) stats: Stats,
    /// Who waits for the stop under way.
    pub(super) stopping: Option<Token>,
    pub(super) stopped: bool,
    next_sync_ms: u64,
    /// Nodes whose links have to be looked at.
    pub(super) touched: BTreeSet<NodeId>,
    /// What changed the members, until that is published.
    pub(super) changed: Option<Cause>,
    actions: VecDeque<Action>,
}

impl Machine {
    /// The machine of a node that starts now, with the state it stored before, if any. `seed` has to be
    /// unpredictable and different at every boot: actors are drawn from it.
    ///
    /// # Errors
    ///
    /// [`StartError::OtherNode`] or [`StartError::OtherRing`] if the state is not this node's or ring's.
    pub fn new(settings: Settings, state: Option<Image>, seed: u64, now: Now) -> Result<Self, StartError> {
        let mut random = Random::new(seed);
        let next_sync_ms = now.mono_ms + random.below(settings.sync_ms);
        let stored = state.as_ref();
        let identity = Identity::boot(stored.map(|image| image.incarnation), now.wall_ms, &mut random);
        let mut machine = Self {
            affiliation: Affiliation::Outside,
            incarnation: identity.incarnation(),
            identity,
            roster: Roster::new(settings.rules),
            stamps: StampClock::default(),
            random,
            links: Links::default(),
            circle: Circle::default(),
            capacity: Capacity::default(),
            rumours: Rumours::default(),
            operations: Operations::default(),
            meets: Meets::default(),
            probe: None,
            leaving: None,
            unaware: BTreeMap::new(),
            notices: BTreeMap::new(),
            writer: Writer::default(),
            stability: Stability::default(),
            draining: false,
            tags: settings.tags.clone(),
            agreed: BTreeSet::new(),
            greetings: Allowance::default(),
            pulls: Allowance::default(),
            quiet_until_ms: 0,
            detector: settings.detector.make(settings.id.clone(), seed ^ DETECTOR_SEED),
            detected_as: None,
            outages: Outages::default(),
            stats: Stats::default(),
            stopping: None,
            stopped: false,
            next_sync_ms,
            touched: BTreeSet::new(),
            changed: None,
            actions: VecDeque::new(),
            settings,
        };
        match state {
            Some(image) => machine.resume(image, now)?,
            None => {
                if let Some(ring) = machine.settings.ring.clone() {
                    machine.writer.push(Intent::Found(ring));
                }
            }
        }
        machine.finish(now);
        Ok(machine)
    }

    /// Takes up a stored state.
    fn resume(&mut self, image: Image, now: Now) -> Result<(), StartError> {
        if image.id != self.settings.id {
            return Err(StartError::OtherNode { stored: image.id, local: self.settings.id.clone() });
        }
        match (image.affiliation.last_ring(), self.settings.ring.clone()) {
            (Some(stored), Some(configured)) if *stored != configured => {
                return Err(StartError::OtherRing { stored: stored.clone(), configured });
            }
            (None, Some(ring)) => self.writer.push(Intent::Found(ring)),
            _ => {}
        }
        self.roster = image.roster(self.settings.rules);
        for (floor, left_ms) in &image.floors {
            self.keep_floor(floor.id.clone(), *left_ms, now);
        }
        for (ended, left_ms) in &image.retired {
            self.keep_retired(ended.actor, *left_ms, now);
        }
        self.writer.resume(self.roster.seen_hash());
        let own = self.roster.get(&image.id).and_then(|entry| entry.record().own.as_ref());
        self.identity.resume(own.map(|own| own.ended.clone()).unwrap_or_default());
        self.mark_all_stale(now);
        for (_, entry) in self.roster.iter() {
            entry.versions().values().for_each(|version| self.stamps.observe(version.stamp));
        }
        self.unaware = self.roster.removed_by_others().collect();
        self.affiliation = match image.affiliation {
            // A withdrawn node that is started again is given another chance: the duplicate may be gone.
            Affiliation::In(ring) | Affiliation::Withdrawn(ring) if self.is_member(&image.id) => {
                Affiliation::In(ring)
            }
            Affiliation::In(ring) | Affiliation::Withdrawn(ring) => Affiliation::Left(ring),
            other => other,
        };
        if self.affiliation.ring().is_some() {
            self.quiet_until_ms = now.mono_ms + self.settings.quiet_ms;
            if image.address == self.settings.address {
                self.writer.push(Intent::Announce);
            } else {
                self.probe_own_address(image.address, image.incarnation);
            }
            self.affiliation_changed();
        }
        Ok(())
    }

    /// Takes in an event.
    pub fn handle(&mut self, input: Input, now: Now) {
        if self.stopped {
            return;
        }
        match input {
            Input::Frame { from, bytes } => self.on_frame(&from, &bytes, now),
            Input::Up { id } => self.on_up(&id, now),
            Input::Down { id } => {
                self.links.set_down(&id);
                self.place(&id);
                self.agreed.remove(&id);
                self.detect(Detected::Down { id }, now);
            }
            Input::Refused { id } => self.detect(Detected::Refused { id }, now),
            Input::RefusedAsDuplicate { incumbent } => self.on_refused_as_duplicate(incumbent),
            Input::Dialed { dial, result } => self.on_dialed(dial, result, now),
            Input::Stored { image, result } => self.on_stored(image, result, now),
            Input::Command { token, command } => self.on_command(token, command, now),
        }
        self.finish(now);
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Now) {
        if self.stopped {
            return;
        }
        let sync_due_ms = self.sync_due_ms();
        let detects = self.detector.deadline_ms().is_some_and(|due| now.mono_ms >= due);
        let asked = if detects {
            self.detector.wake(now.mono_ms);
            self.pump_detector(now)
        } else {
            None
        };
        // Early, if a member is spoken to anyway.
        let early_ms = self.patience_ms().min(EARLY_MS);
        let goes_along = asked.is_some() && now.mono_ms.saturating_add(early_ms) >= self.next_sync_ms;
        if goes_along || now.mono_ms >= sync_due_ms {
            // A little jitter keeps nodes that started together from comparing in step.
            let jitter = self.random.below(self.settings.sync_ms / 5 + 1);
            self.next_sync_ms = now.mono_ms + self.settings.sync_ms - self.settings.sync_ms / 10 + jitter;
            self.compare_with_someone(asked.as_ref(), now);
            self.collect_garbage(now);
            self.consider_removals(now);
            self.act(Action::Reconcile);
        }
        self.finish(now);
    }

    /// The next thing to do outside.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`wake`](Self::wake) wants to be called, on the clock of [`Now::mono_ms`].
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        if self.stopped {
            return None;
        }
        let in_ring = self.affiliation.ring().is_some();
        let detection = self.detector.deadline_ms().filter(|_| in_ring);
        let rumours = self.rumours.due_ms().filter(|_| in_ring).map(|due| due.max(self.quiet_until_ms));
        let due = [
            in_ring.then(|| self.sync_due_ms()),
            rumours,
            detection,
            self.meets.due_ms(),
            self.operations.due_ms(),
            self.writer.due_ms(),
        ];
        due.into_iter().flatten().min()
    }

    /// When the next comparison is due. It waits a little for the detector, which may ask a member then: to do both at once,
    /// with the same member, wakes each end once and seals one record.
    fn sync_due_ms(&self) -> u64 {
        let due_ms = self.next_sync_ms;
        let in_sight = due_ms..=due_ms.saturating_add(self.patience_ms());
        self.detector.deadline_ms().filter(|detects_ms| in_sight.contains(detects_ms)).unwrap_or(due_ms)
    }

    /// By how much a comparison may come late.
    fn patience_ms(&self) -> u64 {
        self.settings.sync_ms / 4
    }

    /// Whether it has stopped for good.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// A state fit to be written, with what is there now.
    #[must_use]
    pub fn image(&self, now: Now) -> Image {
        self.image_of(&self.roster, self.affiliation.clone(), now)
    }

    pub(super) fn image_of(&self, roster: &Roster, affiliation: Affiliation, now: Now) -> Image {
        let floor = |floor: &Arc<Floor>| (Arc::clone(floor), self.floor_left_ms(&floor.id, now));
        Image {
            id: self.settings.id.clone(),
            address: self.settings.address.clone(),
            affiliation,
            incarnation: self.identity.incarnation(),
            context: roster.context().clone(),
            entries: roster.entries().cloned().collect(),
            floors: roster.floors().map(floor).collect(),
            retired: roster.retired().map(|ended| (ended, self.retired_left_ms(ended.actor, now))).collect(),
        }
    }

    /// Everyone's link has to be looked at again.
    pub(super) fn affiliation_changed(&mut self) {
        let known: Vec<_> =
            self.links.wished().chain(self.roster.iter().map(|(id, _)| id)).cloned().collect();
        self.touched.extend(known);
        self.agreed.clear();
        self.changed.get_or_insert(Cause::Local);
        self.writer.mark_dirty(None);
    }

    /// A record changed.
    pub(super) fn record_changed(&mut self, id: &NodeId, cause: Cause, now: Now) {
        self.touched.insert(id.clone());
        self.agreed.clear();
        self.changed = Some(cause);
        self.mark_stale(id, now);
        self.writer.mark_dirty(Some(now.mono_ms + self.settings.flush_ms));
    }

    pub(super) fn touch(&mut self, id: &NodeId) {
        self.touched.insert(id.clone());
    }

    pub(super) fn header(&self) -> Header {
        let own = self.roster.get(&self.settings.id);
        let own = own.map(|entry| entry.versions().siblings().map(|(dot, _)| *dot).collect());
        Header {
            ring: self.affiliation.last_ring().cloned(),
            layout: self.settings.layout,
            incarnation: self.incarnation,
            own: own.unwrap_or_default(),
        }
    }

    pub(super) fn send(&mut self, to: &NodeId, message: &Message) {
        self.send_as(to, &self.header(), message);
    }

    pub(super) fn send_as(&mut self, to: &NodeId, header: &Header, message: &Message) {
        let bytes = Frame::encode_as(self.version_for(to), header, message);
        let ahead = matches!(message, Message::Liveness(_));
        self.act(Action::Send { to: to.clone(), bytes, ahead });
    }

    /// The newest protocol version that both speak, and the oldest for one that was not heard from.
    fn version_for(&self, peer: &NodeId) -> u8 {
        let Protocols { oldest, newest } = self.settings.protocols;
        let theirs = self.roster.get(peer).and_then(|entry| entry.record().own.as_ref());
        theirs.map_or(oldest, |own| own.protocols.newest.clamp(oldest, newest))
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.act(Action::Emit(event));
    }

    pub(super) fn complete(&mut self, token: Token, outcome: Outcome) {
        if token == Token::NOBODY {
            return tracing::info!(?outcome, "what the removal policy wanted");
        }
        self.act(Action::Complete { token, outcome });
    }

    pub(super) fn ring(&self) -> Option<&RingName> {
        self.affiliation.ring()
    }

    pub(crate) fn is_member(&self, id: &NodeId) -> bool {
        self.roster.get(id).is_some_and(|entry| entry.membership().is_some())
    }

    /// Whether there is no other member, come or still to come.
    pub(super) fn is_alone(&self) -> bool {
        self.roster.members().all(|(id, _)| *id == self.settings.id)
    }

    pub(super) fn keeps(&self, rule: Rule) -> bool {
        self.settings.rules.keep(rule)
    }

    pub(super) fn is_quiet(&self, now: Now) -> bool {
        now.mono_ms < self.quiet_until_ms
    }

    /// The other members that have been heard from.
    pub(super) fn others(&self) -> Vec<NodeId> {
        let others =
            self.roster.members().filter(|(id, entry)| **id != self.settings.id && entry.own().is_some());
        others.map(|(id, _)| id.clone()).collect()
    }
}

/// Keeps what the detector leaves to chance apart from what the rest does.
const DETECTOR_SEED: u64 = 0x11fe_6a2d_57a3_e955;

/// By how much a comparison may come early, however rare they are: where several probes go between two of them, it waits
/// for the one that is nearest.
const EARLY_MS: u64 = 250;
