//! A cast that waits for room.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{Link, State};
use crate::node::ServerName;

/// Its place among those that wait. Dropped, it is given up, and the turn it may have had passes to another.
pub(super) struct Place<'a> {
    link: &'a Link,
    server: &'a ServerName,
    /// Its number, once it has begun to wait, and what tells it of its turn.
    waits: Option<(u64, Arc<Notify>)>,
}

impl<'a> Place<'a> {
    pub(super) fn new(link: &'a Link, server: &'a ServerName) -> Self {
        Self { link, server, waits: None }
    }

    /// Completes when it has its turn, at once if it does not wait.
    pub(super) async fn turn(&self) {
        if let Some((_, turn)) = &self.waits {
            turn.notified().await;
        }
    }

    /// Whether it may look for room: it has waited, or nobody has before it.
    pub(super) fn is_next(&self, state: &State) -> bool {
        self.waits.is_some() || !state.waiters.are_before(self.server)
    }

    /// A cast of so many bytes has found no room.
    pub(super) fn wait(&mut self, state: &mut State, bytes: usize) {
        let queued = state.credit.is_open(self.server) && self.link.room_bytes(state) == Some(0);
        let (number, turn) = self.waits.take().unzip();
        let turn = turn.unwrap_or_default();
        let number = state.waiters.wait(self.server, number, (bytes, &turn), queued);
        self.waits = Some((number, turn));
    }

    /// Its cast is queued.
    pub(super) fn is_used(&mut self) {
        self.waits = None;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some((number, _)) = self.waits else { return };
        let mut state = self.link.state();
        if !state.waiters.leave(self.server, number) {
            self.link.tell_senders(state);
        }
    }
}
