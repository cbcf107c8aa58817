//! The bounded queue between the network's readers and the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use netkernel::{NodeId, Refusal};
use tokio::sync::mpsc;

/// The readers' end. A frame that does not fit is turned away and counted by the kernel; the protocol repairs it.
#[derive(Debug, Clone)]
pub(crate) struct Letterbox {
    frames: mpsc::Sender<(NodeId, Bytes)>,
    bytes: Arc<AtomicUsize>,
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    frames: mpsc::Receiver<(NodeId, Bytes)>,
    bytes: Arc<AtomicUsize>,
}

pub(crate) fn inbox(frames_max: usize) -> (Letterbox, Inbox) {
    let (sender, receiver) = mpsc::channel(frames_max);
    let bytes = Arc::new(AtomicUsize::new(0));
    (Letterbox { frames: sender, bytes: Arc::clone(&bytes) }, Inbox { frames: receiver, bytes })
}

impl Letterbox {
    pub(crate) fn put(&self, from: &NodeId, frame: Bytes) -> Result<(), Refusal> {
        let len = frame.len();
        if self.bytes.fetch_add(len, Ordering::Relaxed) > BYTES_MAX {
            self.bytes.fetch_sub(len, Ordering::Relaxed);
            return Err(Refusal::Overloaded);
        }
        self.frames.try_send((from.clone(), frame)).map_err(|error| {
            self.bytes.fetch_sub(len, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => Refusal::Overloaded,
                mpsc::error::TrySendError::Closed(_) => Refusal::Draining,
            }
        })
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
        self.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
        Some((from, frame))
    }
}

/// What may wait in bytes, beside the limit in frames: a few snapshots of the largest ring.
const BYTES_MAX: usize = 16 * 1024 * 1024;
