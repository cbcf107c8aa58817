//! Who waits for room in this node's full servers, and how they are told.
//!
//! The layer above keeps a waker until its server has room, and that may be never. So it is given one for each server,
//! whoever waits and however often: casts that end at their deadlines and links that go leave nothing with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Wake, Waker};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::net::Dispatch;
use crate::node::ServerName;

/// Rung when a mailbox that had no room may have some.
#[derive(Debug, Default)]
pub(crate) struct Bell(Notify);

impl Bell {
    /// Completes when it is rung, or was since this last completed. Cancel safe.
    pub(crate) async fn rung(&self) {
        self.0.notified().await;
    }
}

/// The full servers of which the layer above is to tell, each kept by the waker that it was given.
#[derive(Debug, Default)]
pub(crate) struct Bells(Mutex<HashMap<ServerName, Weak<Awaited>>>);

impl Bells {
    /// Sees to it that the bell is rung once, when the server may have room: at once, if it has.
    pub(crate) fn ask(&self, dispatch: &dyn Dispatch, server: &ServerName, next: &Bytes, bell: &Arc<Bell>) {
        let awaited = self.of(server);
        awaited.add(bell);
        dispatch.wake_with_room(server, next, &Waker::from(awaited));
    }

    fn of(&self, server: &ServerName) -> Arc<Awaited> {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(awaited) = servers.get(server).and_then(Weak::upgrade) {
            return awaited;
        }
        if servers.len() == servers.capacity() {
            servers.retain(|_, awaited| awaited.strong_count() > 0);
        }
        let awaited = Arc::default();
        servers.insert(server.clone(), Arc::downgrade(&awaited));
        awaited
    }
}

/// The bells of those who wait for one server, in the order they asked.
#[derive(Debug, Default)]
struct Awaited(Mutex<Vec<Weak<Bell>>>);

impl Awaited {
    fn add(&self, bell: &Arc<Bell>) {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bells.iter().any(|known| known.as_ptr() == Arc::as_ptr(bell)) {
            return;
        }
        if bells.len() == bells.capacity() {
            bells.retain(|bell| bell.strong_count() > 0);
        }
        bells.push(Arc::downgrade(bell));
    }
}

impl Wake for Awaited {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let bells = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for bell in bells.iter().filter_map(Weak::upgrade) {
            bell.0.notify_one();
        }
    }
}
