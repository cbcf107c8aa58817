//! The sessions of a pair at both its ends, for fuzzing: the machines of `sessions`, and connections between them that
//! lose what is on them. What is around the machines is restated, as it waits: the making of a session here, its tasks and
//! `handover` in `end`.

mod end;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::end::{End, INSTANCE, Settled};
use super::handle::SessionHandle;
use crate::node::Incarnation;
use crate::proto::arbiter::Confirmed;
use crate::proto::hello::{Goaway, SessionId};
use crate::proto::mark::Predecessor;

/// Events of two bytes each, at either end of a pair: sessions are dialed, made, taken over from, closed and broken, and
/// the tasks of each take their steps in any order. Whatever happens, one session at most sends; messages arrive in order
/// and once, while their sender is told of as connected; what does not arrive is told as lost; and when nothing happens any
/// more, the ends agree on one session and all that waits arrives; when that is closed, nothing is left.
pub(crate) fn sessions(data: &[u8]) {
    let mut pair = Pair::default();
    for event in data.chunks_exact(2) {
        pair.event(event[0], usize::from(event[1]));
    }
    for _ in 0..2 {
        pair.settle();
        pair.assert_agreed();
        pair.ends[0].sessions.end_all(true);
        pair.come_to_rest();
        pair.ends.iter().for_each(End::assert_nothing_left);
    }
}

/// A frame, as far as sessions are concerned.
enum Frame {
    Mark(Vec<Predecessor>),
    Message(u32),
    Goaway(Goaway),
}

/// One direction of a connection.
#[derive(Default)]
struct Way {
    frames: VecDeque<Frame>,
    /// Nothing follows these.
    ended: bool,
    /// What is put here reaches nobody.
    is_broken: bool,
}

impl Way {
    fn put(&mut self, frame: Frame) {
        if !self.is_broken {
            self.frames.push_back(frame);
        }
    }

    /// It breaks, with all but so many of the frames on it.
    fn breaks(&mut self, left: usize) {
        self.frames.truncate(left);
        (self.ended, self.is_broken) = (true, true);
    }
}

/// A session that is being made.
struct Making {
    dialer: usize,
    confirmed: Confirmed,
    /// The incarnations that both ends have told, the lower id's first.
    told: [u64; 2],
    handles: [Option<SessionHandle>; 2],
    stage: Stage,
}

/// How far it is.
enum Stage {
    /// The ends have told who they are. The dialer gives it up if it would lose and `any` will do.
    Told {
        any: bool,
    },
    /// The dialer names what broke at its end.
    Finish(Vec<SessionId>),
    /// The acceptor waits until these have ended.
    AcceptorGivesUp(Vec<SessionId>),
    Registered,
    /// It runs at the acceptor, that names what broke there.
    Ready(Vec<SessionId>),
    DialerGivesUp(Vec<SessionId>),
}

/// Both ends, that of the lower id first, and what is between them.
#[derive(Default)]
struct Pair {
    ends: [End; 2],
    making: Vec<Making>,
    /// Of each session, from each end.
    ways: BTreeMap<SessionId, [Way; 2]>,
    last: u64,
}

impl Pair {
    fn event(&mut self, kind: u8, a: usize) {
        let (end, rest) = (a & 1, a >> 1);
        match kind % 16 {
            0 => self.dial(end, rest & 1 == 1),
            1..4 if !self.making.is_empty() => drop(self.make(rest % self.making.len())),
            4 if !self.making.is_empty() => self.gives_up(rest % self.making.len()),
            5 => (0..=rest % 4).for_each(|_| self.ends[end].cast()),
            6..8 => drop(self.of_one(end, rest, Self::write)),
            8..10 => drop(self.of_one(end, rest, Self::read)),
            10 => drop(self.of_one(end, rest, |pair, end, id| pair.end(end, id, false, rest % 5))),
            11 => drop(self.of_one(end, rest, |pair, end, id| pair.end(end, id, true, rest % 5))),
            12 => drop(self.of_one(end, rest, |pair, _, id| {
                pair.ways.entry(id).or_default().iter_mut().for_each(|way| way.breaks(rest % 7));
                true
            })),
            13 => drop(self.ends[end].finish()),
            14 if rest & 2 == 2 => self.ends[end].set_incarnation(),
            14 => self.ends[end].sessions.end_all(rest & 1 == 1),
            _ => {
                for _ in 0..=rest % 3 {
                    self.round();
                }
            }
        }
    }

    /// A step of one of the sessions that run at an end.
    fn of_one(
        &mut self,
        end: usize,
        which: usize,
        step: impl FnOnce(&mut Self, usize, SessionId) -> bool,
    ) -> bool {
        let ids: Vec<SessionId> = self.ends[end].ones.keys().copied().collect();
        !ids.is_empty() && step(self, end, ids[which % ids.len()])
    }

    fn write(&mut self, end: usize, id: SessionId) -> bool {
        self.ends[end].write(id, &mut self.ways.entry(id).or_default()[end])
    }

    fn read(&mut self, end: usize, id: SessionId) -> bool {
        self.ends[end].read(id, &mut self.ways.entry(id).or_default()[1 - end])
    }

    /// Sees whether a session has ended at an end; its connection is closed then, and if it broke, with all but so many of
    /// the frames that it had sent last.
    fn end(&mut self, end: usize, id: SessionId, impatient: bool, left: usize) -> bool {
        let Some(broke) = self.ends[end].end(id, impatient) else { return false };
        let ways = self.ways.entry(id).or_default();
        ways[1 - end].breaks(0);
        let left = if broke { left } else { usize::MAX };
        ways[end].breaks(left);
        true
    }

    fn dial(&mut self, dialer: usize, any: bool) {
        // One at a time.
        if self.making.iter().any(|making| making.dialer == dialer) {
            return;
        }
        self.last += 1;
        self.ends[dialer].dialed += 1;
        let told = [0, 1].map(|end| self.ends[end].incarnation);
        let confirmed = Confirmed {
            session: SessionId(self.last),
            incarnations: told.map(Incarnation),
            dialed_by_lower: dialer == 0,
            connection: self.ends[dialer].dialed,
        };
        let stage = Stage::Told { any };
        self.making.push(Making { dialer, confirmed, told, handles: [None, None], stage });
    }

    /// A step of a session that is being made; false if it has to wait.
    fn make(&mut self, at: usize) -> bool {
        let Making { dialer, confirmed, told, handles, stage } = &mut self.making[at];
        let (dialer, acceptor, confirmed) = (*dialer, 1 - *dialer, *confirmed);
        let [of_dialer, of_acceptor] = [told[dialer], told[acceptor]];
        let mut registered = true;
        match stage {
            Stage::Told { any } => {
                let end = &mut self.ends[dialer];
                match end.settle(of_acceptor) {
                    Settled::Waits => return false,
                    Settled::Refused => registered = false,
                    Settled::Admitted if *any && end.sessions.outranks(confirmed) => registered = false,
                    Settled::Admitted => {
                        handles[dialer] = end.register(confirmed, of_acceptor);
                        registered = handles[dialer].is_some();
                        *stage = Stage::Finish(end.sessions.lost());
                    }
                }
            }
            Stage::Finish(lost) => {
                *stage = Stage::AcceptorGivesUp(self.ends[acceptor].sessions.give_up(INSTANCE, lost));
            }
            Stage::AcceptorGivesUp(sessions) if self.ends[acceptor].have_ended(sessions) => {
                match self.ends[acceptor].settle(of_dialer) {
                    Settled::Waits => return false,
                    Settled::Refused => registered = false,
                    Settled::Admitted => {
                        let end = &mut self.ends[acceptor];
                        handles[acceptor] = end.register(confirmed, of_dialer);
                        registered = handles[acceptor].is_some() && end.sessions.len() <= SESSIONS_MAX;
                        *stage = Stage::Registered;
                    }
                }
            }
            Stage::Registered => {
                let end = &mut self.ends[acceptor];
                let when_heard = end.sessions.sending();
                *stage = Stage::Ready(end.sessions.lost());
                let handle = handles[acceptor].take().expect("it is registered");
                end.start(handle, confirmed, of_acceptor, when_heard);
            }
            Stage::Ready(lost) => {
                *stage = Stage::DialerGivesUp(self.ends[dialer].sessions.give_up(INSTANCE, lost));
            }
            Stage::DialerGivesUp(sessions) if self.ends[dialer].have_ended(sessions) => {
                let handle = handles[dialer].take().expect("it is registered");
                self.ends[dialer].start(handle, confirmed, of_dialer, false);
                self.making.remove(at);
            }
            Stage::AcceptorGivesUp(_) | Stage::DialerGivesUp(_) => return false,
        }
        if !registered {
            self.gives_up(at);
        }
        true
    }

    /// The connection breaks, or it takes too long.
    fn gives_up(&mut self, at: usize) {
        let Making { confirmed, handles, .. } = self.making.remove(at);
        for (end, handle) in self.ends.iter_mut().zip(handles) {
            if handle.is_some() {
                end.sessions.remove(confirmed.session);
            }
        }
        self.ways.entry(confirmed.session).or_default().iter_mut().for_each(|way| way.breaks(0));
    }

    /// All that has something to do does one step; false if there is none.
    fn round(&mut self) -> bool {
        let mut any = false;
        for at in (0..self.making.len()).rev() {
            any |= self.make(at);
        }
        for end in [0, 1] {
            for id in self.ends[end].ones.keys().copied().collect::<Vec<_>>() {
                any |= self.write(end, id);
                any |= self.read(end, id);
                any |= self.end(end, id, false, usize::MAX);
            }
            any |= self.ends[end].finish();
        }
        any
    }

    /// Nothing happens any more but what has to: who gets no answer loses patience.
    fn come_to_rest(&mut self) {
        for _ in 0..10_000 {
            if self.round() {
                continue;
            }
            let ids: Vec<SessionId> = self.ways.keys().copied().collect();
            let mut impatient = [0, 1].into_iter().flat_map(|end| ids.iter().map(move |id| (end, *id)));
            if impatient.any(|(end, id)| self.end(end, id, true, usize::MAX)) {
                continue;
            }
            // What is made waits for somebody for too long.
            if self.making.is_empty() {
                return;
            }
            self.gives_up(0);
        }
        panic!("it never comes to rest");
    }

    /// The same, and whoever has no session dials.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.come_to_rest();
            let Some(end) = [0, 1].into_iter().find(|end| !self.ends[*end].sessions.sending()) else {
                return;
            };
            self.dial(end, true);
        }
        panic!("the ends never have a session");
    }

    fn assert_agreed(&self) {
        let [a, b] = &self.ends;
        assert!(a.sessions.owner().is_some() && a.sessions.owner() == b.sessions.owner());
        for (from, to) in [(a, b), (b, a)] {
            assert_eq!((from.sessions.len(), from.is_up, from.queue.len()), (1, true, 0));
            let arrived: BTreeSet<u32> = to.arrived.iter().copied().collect();
            let silent =
                (0..from.next).find(|message| !arrived.contains(message) && !from.told.contains(message));
            assert_eq!(silent, None, "it was lost without a word");
        }
    }
}

/// What an acceptor takes of one peer.
const SESSIONS_MAX: usize = 8;
