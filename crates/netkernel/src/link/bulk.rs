//! The lane of large messages: one queue for each destination, served in turn, a piece at a time.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::message::{Control, Cut, Message, Piece, Subject};
use crate::node::ServerName;
use crate::proto::frame::{Flags, Kind};
use crate::proto::hello::{Receives, SessionId};

/// Messages that are sent in pieces between the others.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    turns: VecDeque<Turn>,
    messages: usize,
    bytes: usize,
    casts: u64,
    /// Messages begun and not ended, and their bytes, each counted whole: the peer holds no more than that.
    unfinished: Unfinished,
    /// What the peer takes of such. Until it has said that, one at a time goes.
    unfinished_max: Unfinished,
}

#[derive(Debug, Clone, Copy, Default)]
struct Unfinished {
    messages: u64,
    bytes: u64,
}

/// The messages for one server, in order; or one reply, which keeps no order with others.
#[derive(Debug)]
struct Turn {
    server: Option<ServerName>,
    messages: VecDeque<Message>,
    /// How far the first message has been sent, under which number, and by which sessions.
    sent: Option<Sent>,
    /// The first message has been passed over, for the peer had no room for it beside those that had begun. None begins
    /// before it.
    is_next: bool,
}

#[derive(Debug)]
struct Sent {
    bytes: usize,
    id: u64,
    by: Vec<SessionId>,
}

impl Bulk {
    /// What the peer takes of messages in pieces from now on.
    pub(super) fn keep_to(&mut self, receives: Receives) {
        let Receives { unfinished_messages: messages, unfinished_bytes: bytes, .. } = receives;
        self.unfinished_max = Unfinished { messages, bytes };
    }

    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether messages for a server wait here: then a small one for it waits behind them, not to overtake.
    pub(super) fn serves(&self, server: &ServerName) -> bool {
        self.turns.iter().any(|turn| turn.server.as_ref() == Some(server))
    }

    pub(super) fn push(&mut self, message: Message) {
        self.messages += 1;
        self.bytes += message.cost_bytes();
        let server = message.server();
        let turn =
            server.and_then(|server| self.turns.iter_mut().find(|turn| turn.server.as_ref() == Some(server)));
        match turn {
            Some(turn) => turn.messages.push_back(message),
            None => self.turns.push_back(Turn {
                server: server.cloned(),
                messages: VecDeque::from([message]),
                sent: None,
                is_next: false,
            }),
        }
    }

    /// The next piece, of at most so many bytes; `None` if nothing waits. A message that `wanted` refuses is dropped.
    pub(super) fn piece(
        &mut self,
        bytes_max: usize,
        session: SessionId,
        now: Instant,
        wanted: impl Fn(&Message) -> bool,
    ) -> Option<Piece> {
        let bytes_max = bytes_max.min(PIECE_BYTES_MAX);
        let mut next_waits = self.turns.iter().any(|turn| turn.is_next);
        loop {
            let mut turn = self.turns.pop_front()?;
            if turn.sent.is_none() {
                let begins = turn.is_next || !next_waits;
                let bytes = turn.messages.front().map_or(0, |message| message.body.len());
                if bytes > bytes_max && !(begins && self.has_room(bytes)) {
                    turn.is_next |= begins;
                    next_waits = true;
                    self.turns.push_back(turn);
                    continue;
                }
                next_waits &= !std::mem::take(&mut turn.is_next);
                if !turn.messages.front().is_some_and(&wanted) {
                    self.finish(turn);
                    continue;
                }
                self.casts += 1;
                self.unfinished.messages += 1;
                self.unfinished.bytes += bytes as u64;
            }
            let piece = turn.piece(self.casts | CAST_IDS, bytes_max, session, now)?;
            if piece.flags.contains(Flags::LAST) {
                self.finish(turn);
            } else {
                self.turns.push_back(turn);
            }
            return Some(piece);
        }
    }

    /// Whether the peer has room for one more message in pieces; it always has for one that is alone.
    fn has_room(&self, bytes: usize) -> bool {
        let (begun, max) = (self.unfinished, self.unfinished_max);
        let within = begun.messages < max.messages && begun.bytes.saturating_add(bytes as u64) <= max.bytes;
        within || begun.messages == 0
    }

    /// Drops the first message of a turn, and gives the next one its turn.
    fn finish(&mut self, mut turn: Turn) {
        let begun = turn.sent.take().is_some();
        if let Some(message) = turn.messages.pop_front() {
            self.messages -= 1;
            self.bytes -= message.cost_bytes();
            if begun {
                self.unfinished.messages -= 1;
                self.unfinished.bytes -= message.body.len() as u64;
            }
        }
        turn.is_next = false;
        if !turn.messages.is_empty() {
            self.turns.push_back(turn);
        }
    }

    /// Drops the messages of which a broken session had sent a part: no other can complete them. Gives each with what
    /// tells the peer.
    pub(super) fn session_lost(&mut self, session: SessionId) -> Vec<(Control, Option<Cut>)> {
        let mut lost = Vec::new();
        for _ in 0..self.turns.len() {
            let Some(turn) = self.turns.pop_front() else { break };
            match &turn.sent {
                Some(sent) if sent.by.contains(&session) => {
                    let cut = turn.messages.front().and_then(Message::as_cast);
                    lost.push((Control::Reset { id: sent.id, reply: turn.server.is_none() }, cut));
                    self.finish(turn);
                }
                _ => self.turns.push_back(turn),
            }
        }
        lost
    }

    /// Drops the cast that has waited longest, if it began to wait before `before`, and gives it. One that was partly
    /// sent is passed over.
    pub(super) fn drop_oldest_cast(&mut self, before: Option<Instant>) -> Option<Message> {
        let oldest = |turn: &Turn| {
            let begun = usize::from(turn.sent.is_some());
            let at = turn.messages.iter().skip(begun).position(Message::is_cast)? + begun;
            Some((turn.messages[at].waiting_since, at))
        };
        let turns = self.turns.iter().enumerate();
        let found = turns.filter_map(|(turn, of)| oldest(of).map(|(since, at)| (since, turn, at))).min()?;
        let (since, turn, at) = found;
        if before.is_some() && since > before {
            return None;
        }
        let message = self.turns[turn].messages.remove(at)?;
        if self.turns[turn].messages.is_empty() {
            self.turns.remove(turn);
        }
        self.messages -= 1;
        self.bytes -= message.cost_bytes();
        Some(message)
    }

    /// Keeps only what `keep` accepts; it is told whether a message was partly sent. Gives what tells the peer of those
    /// that were and are not kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Message, bool) -> bool) -> Vec<Control> {
        let mut resets = Vec::new();
        for turn in &mut self.turns {
            let begun = turn.sent.is_some();
            let (mut first, mut kept_first) = (true, false);
            turn.messages.retain(|message| {
                let is_first = std::mem::take(&mut first);
                let kept = keep(message, begun && is_first);
                kept_first |= is_first && kept;
                kept
            });
            turn.is_next &= kept_first;
            let reply = turn.server.is_none();
            resets
                .extend(turn.sent.take_if(|_| !kept_first).map(|sent| Control::Reset { id: sent.id, reply }));
        }
        self.turns.retain(|turn| !turn.messages.is_empty());
        self.messages = self.turns.iter().map(|turn| turn.messages.len()).sum();
        self.bytes = self.iter().map(Message::cost_bytes).sum();
        self.unfinished = Unfinished::default();
        for message in
            self.turns.iter().filter(|turn| turn.sent.is_some()).filter_map(|turn| turn.messages.front())
        {
            self.unfinished.messages += 1;
            self.unfinished.bytes += message.body.len() as u64;
        }
        resets
    }

    /// Takes out the messages over so many bytes of which nothing was sent.
    pub(super) fn drop_larger(&mut self, bytes_max: usize) -> Vec<Message> {
        let mut larger = Vec::new();
        for turn in &mut self.turns {
            let begun = usize::from(turn.sent.is_some());
            let kept = turn.messages.drain(begun..).collect::<Vec<_>>();
            let (over, kept): (Vec<_>, Vec<_>) =
                kept.into_iter().partition(|message| message.body.len() > bytes_max);
            turn.is_next &= over.is_empty();
            turn.messages.extend(kept);
            larger.extend(over);
        }
        self.retain(|_, _| true);
        larger
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.turns.iter().flat_map(|turn| &turn.messages)
    }

    /// The first for each server.
    pub(super) fn firsts(&self) -> impl Iterator<Item = &Message> {
        self.turns.iter().filter_map(|turn| turn.messages.front())
    }

    /// Those of which nothing was sent.
    pub(super) fn unbegun(&self) -> impl Iterator<Item = &Message> {
        self.turns.iter().flat_map(|turn| turn.messages.iter().skip(usize::from(turn.sent.is_some())))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Message> {
        self.turns.iter_mut().flat_map(|turn| &mut turn.messages)
    }
}

impl Turn {
    /// The next piece of the first message.
    fn piece(&mut self, cast_id: u64, bytes_max: usize, session: SessionId, now: Instant) -> Option<Piece> {
        let message = self.messages.front()?;
        let (start, cast_id) = self.sent.as_ref().map_or((0, cast_id), |sent| (sent.bytes, sent.id));
        let envelope = message.envelope(cast_id, now);
        let end = message.body.len().min(start + bytes_max);
        let sent = self.sent.get_or_insert_with(|| Sent { bytes: 0, id: envelope.id, by: Vec::new() });
        sent.bytes = end;
        if sent.by.last() != Some(&session) {
            sent.by.push(session);
        }
        let first = start == 0;
        let mut flags = if first { Flags::FIRST } else { Flags::default() };
        for (set, flag) in [
            (end == message.body.len(), Flags::LAST),
            (envelope.refused, Flags::REFUSED),
            (!first && matches!(message.subject, Subject::Reply { .. }), Flags::REPLY),
        ] {
            if set {
                flags = flags.with(flag);
            }
        }
        Some(Piece {
            kind: if first { envelope.kind } else { Kind::Chunk },
            flags,
            id: envelope.id,
            head: first.then(|| (envelope.server.cloned(), envelope.head)),
            body: message.body.slice(start..end),
        })
    }
}

/// What one frame carries of a large message: nearly a whole record, with room beside it for small frames.
pub(super) const PIECE_BYTES_MAX: usize = 60 * 1_024;
/// Casts sent in pieces are numbered from here, calls from below, so the two do not meet at the receiver.
const CAST_IDS: u64 = 1 << 63;
