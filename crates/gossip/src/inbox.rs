//! The bounded queue between the network's readers and the driver.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use netkernel::{NodeId, Refusal};
use tokio::sync::mpsc;

/// The readers' end. A frame that does not fit is turned away and counted by the kernel; the protocol repairs it.
#[derive(Debug, Clone)]
pub(crate) struct Letterbox {
    frames: mpsc::Sender<(NodeId, Bytes)>,
    waiting: Arc<Mutex<Waiting>>,
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    frames: mpsc::Receiver<(NodeId, Bytes)>,
    waiting: Arc<Mutex<Waiting>>,
}

/// What waits, in all and of each node that has something waiting.
#[derive(Debug)]
struct Waiting {
    bytes: usize,
    shares: BTreeMap<NodeId, Share>,
    /// How many frames of one node may wait: no peer alone takes the room of all.
    frames_max: usize,
}

#[derive(Debug, Default)]
struct Share {
    frames: usize,
    bytes: usize,
}

pub(crate) fn inbox(frames_max: usize) -> (Letterbox, Inbox) {
    let (sender, receiver) = mpsc::channel(frames_max);
    let frames_max = frames_max.div_ceil(2);
    let waiting = Arc::new(Mutex::new(Waiting { bytes: 0, shares: BTreeMap::new(), frames_max }));
    (Letterbox { frames: sender, waiting: Arc::clone(&waiting) }, Inbox { frames: receiver, waiting })
}

impl Letterbox {
    pub(crate) fn put(&self, from: &NodeId, frame: Bytes) -> Result<(), Refusal> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.has_room(from, frame.len()) {
            return Err(Refusal::Overloaded);
        }
        let len = frame.len();
        self.frames.try_send((from.clone(), frame)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Refusal::Draining,
        })?;
        waiting.add(from, len);
        Ok(())
    }
}

impl Inbox {
    /// The next frame; `None` when every letterbox is gone.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, it has taken no frame.
    pub(crate) async fn recv(&mut self) -> Option<(NodeId, Bytes)> {
        let (from, frame) = self.frames.recv().await?;
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take(&from, frame.len());
        Some((from, frame))
    }
}

impl Waiting {
    fn has_room(&self, from: &NodeId, bytes: usize) -> bool {
        let fits = |waiting: usize, max: usize| waiting == 0 || waiting.saturating_add(bytes) <= max;
        let share = self.shares.get(from);
        fits(self.bytes, BYTES_MAX)
            && share.is_none_or(|share| share.frames < self.frames_max && fits(share.bytes, BYTES_MAX / 2))
    }

    fn add(&mut self, from: &NodeId, bytes: usize) {
        self.bytes += bytes;
        let share = self.shares.entry(from.clone()).or_default();
        share.frames += 1;
        share.bytes += bytes;
    }

    fn take(&mut self, from: &NodeId, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(share) = self.shares.get_mut(from) {
            share.frames = share.frames.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(bytes);
            if share.frames == 0 {
                self.shares.remove(from);
            }
        }
    }
}

/// What may wait in bytes, beside the limit in frames: a few snapshots of the largest ring.
const BYTES_MAX: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    #[tokio::test]
    async fn a_peer_that_floods_leaves_room_for_others() {
        let (letterbox, mut inbox) = inbox(8);
        let (flood, quiet) = (id("flood"), id("quiet"));
        let frame = || Bytes::from_static(b"frame");
        let taken = (0..100).filter(|_| letterbox.put(&flood, frame()).is_ok()).count();
        assert_eq!(taken, 4);
        assert_eq!(letterbox.put(&quiet, frame()), Ok(()));
        // What was handled makes room again.
        assert_eq!(inbox.recv().await.unwrap().0, flood);
        assert_eq!(letterbox.put(&flood, frame()), Ok(()));
        assert_eq!(letterbox.put(&flood, frame()), Err(Refusal::Overloaded));
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_bytes_too() {
        let (letterbox, inbox) = inbox(1_000);
        let large = Bytes::from(vec![0; BYTES_MAX / 8]);
        let flood = |name: &str| (0..20).filter(|_| letterbox.put(&id(name), large.clone()).is_ok()).count();
        assert_eq!((flood("a"), flood("b"), flood("c")), (4, 4, 0));
        assert_eq!(inbox.frames.len(), 8);
    }

    #[tokio::test]
    async fn a_stopped_driver_is_told_apart_from_a_busy_one() {
        let (letterbox, inbox) = inbox(1);
        drop(inbox);
        assert_eq!(letterbox.put(&id("a"), Bytes::new()), Err(Refusal::Draining));
    }
}
