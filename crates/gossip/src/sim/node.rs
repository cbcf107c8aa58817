//! A simulated node: its machine while it runs, its disk all the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use netkernel::{Address, NodeId};

use crate::event::Event;
use crate::proto::{Image, Input, Machine, Now, Settings};

use super::network::Ix;

/// A simulated node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) settings: Settings,
    pub(super) machine: Option<Machine>,
    pub(super) disk: Option<Image>,
    /// The state before the one on disk.
    older: Option<Image>,
    /// A state of long ago.
    backup: Option<Image>,
    writes: u64,
    /// Counts its starts, so that what was meant for an earlier one finds nobody.
    pub(super) boot: u64,
    /// How far its wall clock is ahead.
    pub(super) skew_ms: i64,
    pub(super) wished: BTreeMap<Ix, Address>,
    /// Nodes whose sessions it was told of last that they are up.
    pub(super) up: BTreeSet<NodeId>,
    pub(super) paused_until: u64,
    pub(super) inbox: VecDeque<Input>,
    pub(super) wake_at: Option<u64>,
    /// Whether it was in no ring when last looked at.
    pub(super) is_out: bool,
    pub(super) events: Vec<Event>,
}

/// What a node finds when it starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disk {
    /// Its last state.
    Kept,
    /// The state before its last, as after a restored backup.
    RolledBack,
    /// A state of long ago, as after an old backup was restored.
    Stale,
    /// Nothing.
    Lost,
}

impl Node {
    pub(super) fn new(settings: Settings, skew_ms: i64) -> Self {
        Self {
            id: settings.id.clone(),
            settings,
            machine: None,
            disk: None,
            older: None,
            backup: None,
            writes: 0,
            boot: 0,
            skew_ms,
            wished: BTreeMap::new(),
            up: BTreeSet::new(),
            paused_until: 0,
            inbox: VecDeque::new(),
            wake_at: None,
            is_out: true,
            events: Vec::new(),
        }
    }

    pub(super) fn crash(&mut self, disk: Disk) {
        self.machine = None;
        self.wished.clear();
        self.up.clear();
        self.inbox.clear();
        self.paused_until = 0;
        self.wake_at = None;
        if disk != Disk::Kept {
            // A write under way goes down with it.
            self.boot += 1;
        }
        match disk {
            Disk::Kept => {}
            Disk::RolledBack => self.disk = self.older.clone().or(self.disk.take()),
            Disk::Stale => self.disk = self.backup.clone().or(self.disk.take()),
            Disk::Lost => (self.disk, self.older, self.backup) = (None, None, None),
        }
        self.is_out = !self.is_in_by_disk();
    }

    /// Whether it will be in a ring when it starts, as far as its disk says.
    pub(super) fn is_in_by_disk(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.affiliation().ring().is_some())
    }

    pub(super) fn keep(&mut self, state: Image) {
        self.older = self.disk.replace(state);
        self.writes += 1;
        if self.writes % BACKUP_EVERY == 3 {
            self.backup.clone_from(&self.older);
        }
    }

    /// The node's time when the world's is `now`.
    pub(super) fn time(&self, now: u64) -> Now {
        let wall = START_WALL_MS + now as i64 + self.skew_ms;
        Now { mono_ms: now, wall_ms: u64::try_from(wall).unwrap_or(0) }
    }
}

/// The simulated year is 2026.
const START_WALL_MS: i64 = 1_780_000_000_000;

/// Writes from one backup to the next.
const BACKUP_EVERY: u64 = 16;
