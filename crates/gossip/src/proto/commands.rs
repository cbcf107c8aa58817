//! How a machine takes up what it is asked, and how it stops.

use crate::error::{MeetError, PropagationError, Unavailable};
use crate::message::Message;

use super::drafts::Intent;
use super::liveness::Input as Detected;
use super::machine::Machine;
use super::operations::{Command, Outcome, Token};
use super::ports::Action;
use super::time::Now;

impl Machine {
    pub(super) fn on_command(&mut self, token: Token, command: Command, now: Now) {
        match command {
            Command::Meet { .. } if self.ring().is_none() => {
                self.complete(token, Outcome::Meet(Err(MeetError::NotInRing)));
            }
            Command::Meet { address, .. } if address == self.settings.address => {
                let operation = self.operations.begin(Vec::new());
                self.complete(token, Outcome::Meet(Ok(operation)));
            }
            Command::Meet { address, expected } => self.start_meet(Some(token), address, expected, now),
            Command::Propagated { operation, reach, within_ms } => {
                let deadline_ms = now.mono_ms.saturating_add(within_ms);
                if self.ring().is_none() {
                    self.complete(token, Outcome::Propagated(Err(PropagationError::NotInRing)));
                } else if !self.operations.wait(token, operation, reach, deadline_ms) {
                    self.complete(token, Outcome::Propagated(Err(PropagationError::Forgotten)));
                }
            }
            Command::Stop => self.stop(token, now),
            command if self.stopping.is_some() || self.writer.is_full() => {
                let why = if self.stopping.is_some() { Unavailable::Stopped } else { Unavailable::Busy };
                self.complete(token, command.unavailable(why));
            }
            command => self.writer.push(Intent::Operation(token, command)),
        }
    }

    /// Says goodbye, and ends once everything is on disk.
    fn stop(&mut self, token: Token, now: Now) {
        if self.ring().is_some() {
            for member in self.circle.partners().to_vec() {
                self.send(&member, &Message::Goodbye);
            }
        }
        self.detect(Detected::Stopping, now);
        self.rumours.clear();
        self.stopping = Some(token);
        self.writer.mark_dirty(None);
    }

    /// Ends a stop, if one is under way and all is on disk, or cannot be brought there.
    pub(super) fn stop_when_settled(&mut self) {
        if !(self.writer.is_settled() || self.writer.is_failing()) {
            return;
        }
        if let Some(token) = self.stopping.take() {
            self.stopped = true;
            self.complete(token, Outcome::Stop);
            self.act(Action::Stopped);
        }
    }
}

impl Command {
    /// The outcome of a command that was not even begun.
    #[must_use]
    pub fn unavailable(&self, why: Unavailable) -> Outcome {
        match self {
            Self::Meet { .. } => Outcome::Meet(Err(why.into())),
            Self::Insert { .. } => Outcome::Insert(Err(why.into())),
            Self::Update { .. } => Outcome::Update(Err(why.into())),
            Self::Remove { .. } => Outcome::Remove(Err(why.into())),
            Self::Leave { .. } => Outcome::Leave(Err(why.into())),
            Self::Join { .. } => Outcome::Join(Err(why.into())),
            Self::Announce { .. } => Outcome::Announce(Err(why.into())),
            Self::Propagated { .. } => Outcome::Propagated(Err(why.into())),
            Self::Stop => Outcome::Stop,
        }
    }
}
