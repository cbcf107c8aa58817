//! What passes through a mailbox: messages with the room they take, and the server's side of them.

use std::collections::VecDeque;

use crate::envelope::Letter;

/// What waits for the server to begin it.
pub(crate) struct Queued<S> {
    pub(crate) letter: Letter<S>,
    /// What it takes: one message, or several that came together.
    pub(crate) room: Room,
}

/// A number of messages, and of bytes they hold on to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) messages: usize,
    /// Below zero by less than one message.
    pub(crate) bytes: i64,
}

impl Room {
    /// Takes room for one message, if there is any. One that holds `bytes` is accepted while any are left, so that no
    /// message is too large for an empty mailbox.
    pub(crate) fn take(&mut self, bytes: i64) -> bool {
        let any = self.has_any(bytes);
        if any {
            self.messages -= 1;
            self.bytes -= bytes;
        }
        any
    }

    pub(crate) fn has_any(&self, bytes: i64) -> bool {
        self.messages > 0 && (bytes == 0 || self.bytes > 0)
    }
}

/// What was asked of the server from outside.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signals {
    pub(crate) paused: bool,
    pub(crate) stop: Option<Urgency>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    Graceful,
    Now,
}

impl Signals {
    /// Whether the server may begin ordinary messages. Whoever stops drains, paused or not.
    pub(crate) fn may_take(self, ready: bool) -> bool {
        (ready && !self.paused) || self.stop.is_some()
    }
}

/// The server's side: what it has taken and not yet begun.
pub(crate) struct Taken<S> {
    pub(crate) system: VecDeque<Letter<S>>,
    pub(crate) batch: VecDeque<Queued<S>>,
    /// Several had come since it last looked.
    pub(crate) crowded: bool,
    pub(crate) begun: Room,
    /// What the letter in the server's hands still holds.
    rest: Room,
    pub(crate) signals: Signals,
}

impl<S> Taken<S> {
    pub(crate) fn new() -> Self {
        Self {
            system: VecDeque::new(),
            batch: VecDeque::new(),
            crowded: false,
            begun: Room::default(),
            rest: Room::default(),
            signals: Signals::default(),
        }
    }

    /// What to begin next: what the system says comes first.
    pub(crate) fn pop(&mut self, ready: bool) -> Option<Letter<S>> {
        if let Some(letter) = self.system.pop_front() {
            return Some(letter);
        }
        if !self.signals.may_take(ready) {
            return None;
        }
        let Queued { letter, room } = self.batch.pop_front()?;
        self.begun.messages += 1;
        if room.messages > 1 {
            // They are kept together, and so are their bytes.
            self.rest = Room { messages: room.messages - 1, ..room };
        } else {
            self.begun.bytes += room.bytes;
        }
        Some(letter)
    }

    /// Takes back the letter that was popped last, if it holds more messages: they are next.
    pub(crate) fn put_back(&mut self, letter: Letter<S>) {
        let room = std::mem::take(&mut self.rest);
        if room.messages > 0 {
            self.batch.push_front(Queued { letter, room });
        }
    }

    /// Whether to look into the mailbox before going on.
    pub(crate) fn is_due(&self, ready: bool) -> bool {
        !self.is_ready(ready) || self.begun.messages >= RELEASE_EVERY
    }

    pub(crate) fn is_ready(&self, ready: bool) -> bool {
        !self.system.is_empty() || (!self.batch.is_empty() && self.signals.may_take(ready))
    }

    /// Everything not begun, to be refused.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Letter<S>> {
        self.system.drain(..).chain(self.batch.drain(..).map(|queued| queued.letter))
    }
}

/// How many messages may begin before their room is given back: rare enough to keep the server off the lock, often
/// enough that senders hardly wait for it.
const RELEASE_EVERY: usize = 64;
