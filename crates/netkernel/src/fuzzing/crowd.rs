//! Both ends of credit: peers that cast to the servers of one node, which take what they have room for, with what is on
//! its way between them. What is around the machines of `proto` (a link's intake and when its reader looks at what is
//! due) is restated here, as it waits for readers and mailboxes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::node::ServerName;
use crate::proto::credit::{CAST_OVERHEAD_BYTES, Credit, Grant, LINK_BYTES, Load, WINDOW};
use crate::proto::due::{Due, Grants};
use crate::proto::pressure::Pressure;

/// A node with full servers, and its peers.
pub(crate) struct Crowd {
    pub(crate) peers: Vec<Peer>,
    servers: Vec<Server>,
    pub(crate) pressure: Pressure,
    pub(crate) now: Duration,
}

struct Server {
    name: ServerName,
    /// How many casts its mailbox has room for.
    room: u64,
    /// The peer that is offered room first.
    turn: usize,
}

/// Casts of one size for one server.
#[derive(Clone, Copy)]
struct Group {
    server: usize,
    bytes: usize,
    count: u64,
}

impl Group {
    fn load(self) -> Load {
        Load { messages: self.count, bytes: self.count * self.bytes as u64 }
    }
}

/// One peer: its sending end, what is on its way, and what its link holds at the receiving end.
pub(crate) struct Peer {
    pub(crate) credit: Credit,
    way: VecDeque<Group>,
    held: Vec<VecDeque<Group>>,
    due: Due,
    /// What was taken or refused, and is not given yet.
    taken: Load,
    grants: Grants,
    granted: Load,
    /// A session of it broke: both ends count anew, while the receiver still holds what came before.
    broke: bool,
}

impl Peer {
    fn new(servers: usize) -> Self {
        Self {
            credit: Credit::default(),
            way: VecDeque::new(),
            held: vec![VecDeque::new(); servers],
            due: Due::default(),
            taken: Load::default(),
            grants: Grants::default(),
            granted: Load::default(),
            broke: false,
        }
    }

    fn held_load(&self) -> Load {
        sum(self.held.iter().flatten())
    }

    fn give(&mut self, given: Vec<Grant>) {
        for grant in given {
            let left = self.taken.messages.checked_sub(grant.load.messages);
            let messages = left.expect("no more is given than was taken");
            let left = self.taken.bytes.checked_sub(grant.load.bytes);
            self.taken = Load { messages, bytes: left.expect("no more is given than was taken") };
            self.granted.add(grant.load);
            self.grants.add(grant);
        }
    }
}

fn sum<'a>(groups: impl Iterator<Item = &'a Group>) -> Load {
    let mut sum = Load::default();
    groups.for_each(|group| sum.add(group.load()));
    sum
}

impl Crowd {
    pub(crate) fn new(peers: usize, servers: usize) -> Self {
        let server = |number| {
            let name = ServerName::new(format!("server {number}")).expect("a good name");
            Server { name, room: 0, turn: 0 }
        };
        Self {
            peers: (0..peers).map(|_| Peer::new(servers)).collect(),
            servers: (0..servers).map(server).collect(),
            pressure: Pressure::default(),
            now: Duration::ZERO,
        }
    }

    /// Sends so many casts of this size, or as many as credit allows.
    pub(crate) fn send(&mut self, peer: usize, server: usize, bytes: usize, count: u64) {
        let (name, peer) = (&self.servers[server].name, &mut self.peers[peer]);
        let sent = (0..count).take_while(|_| peer.credit.spend(name, bytes)).count() as u64;
        if sent > 0 {
            peer.way.push_back(Group { server, bytes, count: sent });
        }
    }

    /// So much of what a peer has sent arrives.
    pub(crate) fn arrive(&mut self, number: usize, groups: usize) {
        for _ in 0..groups {
            let Some(group) = self.peers[number].way.pop_front() else { break };
            self.take_in(number, group);
        }
        self.look(number);
    }

    fn take_in(&mut self, number: usize, group: Group) {
        let (server, peer) = (&mut self.servers[group.server], &mut self.peers[number]);
        let is_first = peer.held[group.server].is_empty();
        let room = if is_first { server.room.min(group.count) } else { 0 };
        server.room -= room;
        take(peer, &server.name, Group { count: room, ..group }, 0);
        let rest = Group { count: group.count - room, ..group };
        let held_here = sum(peer.held[group.server].iter()).messages;
        let cost = Load::cast(group.bytes).cost_bytes();
        let room = (HELD_BYTES_MAX - peer.held_load().cost_bytes()) / cost;
        let kept = rest.count.min(room).min(2 * WINDOW.messages - held_here);
        if kept > 0 {
            let kept = Group { count: kept, ..group };
            peer.held[group.server].push_back(kept);
            self.pressure.hold(&server.name, kept.load(), is_first);
        }
        assert!(kept == rest.count || peer.broke, "a cast within its credit was refused");
        take(peer, &server.name, Group { count: rest.count - kept, ..group }, rest.count - kept);
    }

    /// A server has room for so many more casts, which those that wait are offered, each as many as there is room for.
    pub(crate) fn room(&mut self, server: usize, casts: u64) {
        self.servers[server].room += casts;
        for _ in 0..self.peers.len() {
            let turn = self.servers[server].turn;
            self.servers[server].turn = (turn + 1) % self.peers.len();
            self.offer(turn, server);
        }
    }

    /// The same, but so many casts of each peer in turn, as of peers that wait to be woken.
    pub(crate) fn room_in_turn(&mut self, server: usize, casts: u64, each: u64) {
        for _ in 0..casts / each {
            let (peers, turn) = (self.peers.len(), self.servers[server].turn);
            let waits = |peer: &usize| !self.peers[*peer].held[server].is_empty();
            let Some(peer) = (0..peers).map(|next| (turn + next) % peers).find(waits) else { return };
            self.servers[server].turn = (peer + 1) % peers;
            self.servers[server].room = each;
            self.offer(peer, server);
        }
    }

    /// A server's mailbox is full again, or never had room that nobody used.
    pub(crate) fn fills_up(&mut self, server: usize) {
        self.servers[server].room = 0;
    }

    fn offer(&mut self, number: usize, at: usize) {
        let (server, peer) = (&mut self.servers[at], &mut self.peers[number]);
        let mut released = Load::default();
        while server.room > 0 {
            let Some(first) = peer.held[at].front_mut() else { break };
            let taken = Group { count: first.count.min(server.room), ..*first };
            first.count -= taken.count;
            if first.count == 0 {
                peer.held[at].pop_front();
            }
            server.room -= taken.count;
            released.add(taken.load());
            take(peer, &server.name, taken, 0);
        }
        if released.messages > 0 {
            self.pressure.release(&server.name, released, peer.held[at].is_empty(), self.now);
            self.look(number);
        }
    }

    /// A reader looks at what is due, as it does after each record and each offer.
    fn look(&mut self, number: usize) {
        let (peer, servers, held) = (&mut self.peers[number], &self.servers, &self.pressure);
        let given = if held.is_calm() && !peer.due.keeps_back() {
            peer.due.ripe()
        } else {
            self.pressure.relax(self.now);
            let holds = |name: &ServerName| {
                let at = servers.iter().position(|server| server.name == *name);
                at.is_some_and(|at| !peer.held[at].is_empty())
            };
            peer.due.ripe_but(self.now, |server| self.pressure.kept_back(server), holds)
        };
        peer.give(given);
    }

    /// Time passes, in which the readers look that have a reason to.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        for number in 0..self.peers.len() {
            let peer = &self.peers[number];
            if peer.due.keeps_back() || peer.held_load().messages > 0 {
                self.look(number);
            }
        }
    }

    /// A peer reads the credit that is on its way.
    pub(crate) fn read_credit(&mut self, peer: usize) {
        let peer = &mut self.peers[peer];
        peer.granted = Load::default();
        for grant in peer.grants.take() {
            peer.credit.refund(&grant.server, grant.load);
        }
    }

    /// A session takes over from another, which is read to its end.
    pub(crate) fn hand_over(&mut self, peer: usize) {
        self.peers[peer].credit.handed_over(std::iter::empty());
        self.arrive(peer, usize::MAX);
        let peer = &mut self.peers[peer];
        let rest = std::mem::take(&mut peer.due).rest();
        peer.give(rest);
        peer.credit.settled();
    }

    /// A session takes over from another that breaks: what went by it is lost, and counts no more.
    pub(crate) fn break_session(&mut self, peer: usize) {
        let peer = &mut self.peers[peer];
        peer.broke = true;
        peer.credit.handed_over(std::iter::empty());
        peer.way.clear();
        let rest = std::mem::take(&mut peer.due).rest();
        peer.give(rest);
        peer.credit.lost_before();
    }

    /// A link ends at both ends.
    pub(crate) fn end_link(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        for (server, held) in self.servers.iter().zip(&peer.held).filter(|(_, held)| !held.is_empty()) {
            self.pressure.release(&server.name, sum(held.iter()), true, self.now);
        }
        *peer = Peer { credit: std::mem::take(&mut peer.credit), ..Peer::new(self.servers.len()) };
        peer.credit.clear();
    }

    /// What the node holds for one server.
    #[cfg(test)]
    pub(crate) fn held_for(&self, server: usize) -> Load {
        sum(self.peers.iter().flat_map(|peer| &peer.held[server]))
    }

    #[cfg(test)]
    pub(crate) fn holds(&self, peer: usize) -> bool {
        self.peers[peer].held_load().messages > 0
    }

    /// What every cast that was sent has become adds up, and is within the bounds.
    pub(crate) fn check(&mut self) {
        for peer in &mut self.peers {
            let mut sum = sum(peer.way.iter());
            [peer.held_load(), peer.taken, peer.granted].into_iter().for_each(|load| sum.add(load));
            let spent = peer.credit.outstanding();
            assert!(peer.broke || sum == spent, "of {spent:?} spent, there are {sum:?}");
            if sum == Load::default() && spent == Load::default() {
                peer.broke = false;
            }
            assert!(
                peer.broke || spent.cost_bytes() < LINK_BYTES + CAST_BYTES_MAX as u64 + CAST_OVERHEAD_BYTES
            );
            for held in &peer.held {
                let held = self::sum(held.iter());
                assert!(peer.broke || held.messages <= WINDOW.messages);
                assert!(peer.broke || held.bytes < WINDOW.bytes + CAST_BYTES_MAX as u64);
            }
        }
    }

    /// All that was sent arrives and is taken, and what is due is given in a second. Then everybody may send again, to
    /// everybody, and at the end of their sessions nothing of all that is left.
    pub(crate) fn come_to_rest(mut self) {
        (0..self.servers.len()).for_each(|server| self.servers[server].room = u64::MAX / 2);
        (0..self.servers.len()).for_each(|server| self.room(server, 0));
        (0..self.peers.len()).for_each(|peer| self.arrive(peer, usize::MAX));
        for _ in 0..20 {
            self.pass(Duration::from_millis(50));
        }
        for number in 0..self.peers.len() {
            self.read_credit(number);
            assert_eq!(self.peers[number].held_load(), Load::default());
            for server in 0..self.servers.len() {
                self.send(number, server, 1, 1);
                assert_eq!(self.peers[number].way.len(), server + 1, "peer {number} may send");
            }
            self.hand_over(number);
            self.read_credit(number);
            assert_eq!(self.peers[number].credit.outstanding(), Load::default(), "peer {number}");
        }
        self.check();
        assert!(self.pressure.is_at_rest(), "{:?}", self.pressure);
    }
}

fn take(peer: &mut Peer, server: &ServerName, casts: Group, refused: u64) {
    if casts.count > 0 {
        peer.due.took(server, casts.load(), refused);
        peer.taken.add(casts.load());
    }
}

/// The largest cast.
pub(crate) const CAST_BYTES_MAX: usize = 4 << 20;
/// What is held for one peer at most: `Limits::held_bytes_max` by default.
const HELD_BYTES_MAX: u64 = LINK_BYTES + CAST_BYTES_MAX as u64 + 2 * CAST_OVERHEAD_BYTES;
