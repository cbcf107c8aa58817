//! A session as its tasks hold it.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use crate::net::{DownReason, Peer};
use crate::proto::hello::SessionId;

/// Ends a session at once, for a reason.
#[derive(Clone, Default)]
pub(crate) struct Kill {
    token: CancellationToken,
    reason: Arc<OnceLock<DownReason>>,
}

impl Kill {
    /// Asks for the end. The first reason given counts.
    pub(crate) fn now(&self, reason: DownReason) {
        self.reason.get_or_init(|| reason);
        self.token.cancel();
    }

    /// Whether the end was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Completes when the end is asked for.
    pub(crate) async fn asked(&self) -> DownReason {
        self.token.cancelled().await;
        *self.reason.get_or_init(|| DownReason::LinkLost)
    }
}

/// One session as its tasks hold it.
#[derive(Clone)]
pub(crate) struct SessionHandle {
    pub(crate) id: SessionId,
    pub(crate) peer: Arc<Peer>,
    /// Nothing more will be read of it.
    pub(crate) drained: CancellationToken,
    pub(crate) kill: Kill,
}
