//! What readers hold: the present view and the changes of it, and the stream of events.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{broadcast, watch};

use crate::event::Event;
use crate::view::View;

/// A reader of views. It holds the present one, so that reading costs no more than asking whether it changed.
#[derive(Debug, Clone)]
pub struct Views {
    present: Arc<View>,
    views: watch::Receiver<Arc<View>>,
}

impl Views {
    pub(crate) fn new(views: watch::Receiver<Arc<View>>) -> Self {
        let present = Arc::clone(&views.borrow());
        Self { present, views }
    }

    /// The latest view.
    pub fn latest(&mut self) -> &Arc<View> {
        if self.views.has_changed().unwrap_or(true) {
            self.present = Arc::clone(&self.views.borrow_and_update());
        }
        &self.present
    }

    /// Waits for a view that was not seen here yet; `None` once gossip has stopped. Views in between are skipped.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has skipped nothing.
    pub async fn changed(&mut self) -> Option<Arc<View>> {
        self.views.changed().await.ok()?;
        self.present = Arc::clone(&self.views.borrow_and_update());
        Some(Arc::clone(&self.present))
    }

    /// Waits until a view fulfils the condition; `None` if gossip stops first.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has skipped nothing that fulfils the condition.
    pub async fn until(&mut self, mut condition: impl FnMut(&View) -> bool) -> Option<Arc<View>> {
        let view = self.views.wait_for(|view| condition(view)).await.ok()?;
        self.present = Arc::clone(&view);
        drop(view);
        Some(Arc::clone(&self.present))
    }
}

/// A stream of [`Event`]s. A reader that falls more than 1,024 behind is told how many it missed.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    pub(crate) fn new(events: broadcast::Receiver<Event>) -> Self {
        Self(events)
    }

    /// The next event, or `None` once gossip has stopped and all were read.
    ///
    /// # Errors
    ///
    /// [`MissedEvents`] if some were overwritten: the view tells the present state.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has taken no event.
    pub async fn recv(&mut self) -> Result<Option<Event>, MissedEvents> {
        match self.0.recv().await {
            Ok(event) => Ok(Some(event)),
            Err(broadcast::error::RecvError::Closed) => Ok(None),
            Err(broadcast::error::RecvError::Lagged(count)) => Err(MissedEvents { count }),
        }
    }
}

/// A reader of events was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{count} events were missed")]
pub struct MissedEvents {
    /// How many were overwritten for this reader.
    pub count: u64,
}
