//! Takes connections in. Each handshake has a task of its own, so that no client can hold up another.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

use super::establish;
use super::shared::Shared;
use crate::error::HandshakeError;
use crate::proto::backoff::Backoff;
use crate::transport::{Connection, Listener};

/// Accepts until the kernel closes.
pub(super) async fn run(shared: Arc<Shared>, mut listener: Box<dyn Listener>) {
    let limits = &shared.config.limits;
    let mut errors = Backoff::new(limits.backoff_first, limits.backoff_max);
    let mut handshakes = Handshakes::default();
    loop {
        let accepted = tokio::select! {
            () = shared.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => {
                errors.reset();
                let handshake = handshakes.admit(limits.handshakes_max);
                shared.spawn(one(Arc::clone(&shared), connection, handshake));
            }
            // One client hung up while it waited; that says nothing about the next.
            Err(error) if is_of_client(&error) => {}
            Err(error) => {
                // Out of file descriptors, most often: trying at once would spin.
                tracing::warn!(node = %shared.config.id, %error, "cannot accept connections");
                tokio::select! {
                    () = shared.closing.cancelled() => return,
                    () = tokio::time::sleep(errors.next(0)) => {}
                }
            }
        }
    }
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | NotConnected)
}

/// The handshakes that are under way, oldest first.
#[derive(Default)]
struct Handshakes(VecDeque<Handshake>);

/// One connection on its way to a session.
#[derive(Clone, Default)]
struct Handshake {
    /// The peer has shown that it holds the cookie.
    authentic: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    evict: CancellationToken,
}

impl Handshakes {
    /// Admits one more. At the limit, the oldest that has not shown the cookie makes room.
    fn admit(&mut self, max: usize) -> Handshake {
        self.0.retain(|handshake| !handshake.over.load(Ordering::Relaxed));
        if self.0.len() >= max {
            let stranger = self.0.iter().position(|handshake| !handshake.authentic.load(Ordering::Relaxed));
            if let Some(evicted) = self.0.remove(stranger.unwrap_or(0)) {
                evicted.evict.cancel();
            }
        }
        let handshake = Handshake::default();
        self.0.push_back(handshake.clone());
        handshake
    }
}

async fn one(shared: Arc<Shared>, connection: Connection, handshake: Handshake) {
    let remote = connection.remote.clone();
    let limits = &shared.config.limits;
    let mark = || handshake.authentic.store(true, Ordering::Relaxed);
    let made = tokio::select! {
        () = handshake.evict.cancelled() => Err(HandshakeError::Unavailable),
        () = shared.closing.cancelled() => Err(HandshakeError::Unavailable),
        () = async {
            tokio::time::sleep(limits.handshake_first).await;
            if handshake.authentic.load(Ordering::Relaxed) {
                tokio::time::sleep(limits.handshake_whole.saturating_sub(limits.handshake_first)).await;
            }
        } => Err(HandshakeError::Timeout),
        made = establish::accept(&shared, connection, &mark) => made,
    };
    handshake.over.store(true, Ordering::Relaxed);
    match made {
        Ok(()) => {}
        // What it missed here is known at its end alone.
        Err(HandshakeError::Closed) => {
            tracing::debug!(node = %shared.config.id, %remote, "a connection was given up by its maker");
        }
        Err(error) => tracing::info!(node = %shared.config.id, %remote, %error, "connection refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_strangers_evicts_strangers_only() {
        let mut handshakes = Handshakes::default();
        let good = handshakes.admit(4);
        good.authentic.store(true, Ordering::Relaxed);
        let strangers: Vec<Handshake> = (0..100).map(|_| handshakes.admit(4)).collect();
        assert!(!good.evict.is_cancelled());
        assert_eq!(strangers.iter().filter(|stranger| !stranger.evict.is_cancelled()).count(), 3);
    }

    #[test]
    fn finished_handshakes_leave_their_places() {
        let mut handshakes = Handshakes::default();
        let first = handshakes.admit(1);
        first.over.store(true, Ordering::Relaxed);
        handshakes.admit(1);
        assert!(!first.evict.is_cancelled());
    }
}
