//! Takes connections in. Each handshake has a task of its own, so that no client can hold up another.

use std::io;
use std::sync::Arc;

use tracing::Instrument;

use super::admission::{Handshake, Handshakes};
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
    let mut hung_up = 0;
    loop {
        let accepted = tokio::select! {
            () = shared.closing.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => {
                errors.reset();
                hung_up = 0;
                let host = connection.remote.host();
                let handshake = handshakes.admit(host, limits.handshakes_max, limits.handshakes_per_host_max);
                let node = &shared.config.id;
                let span = tracing::info_span!("handshake", %node, remote = %connection.remote);
                shared.spawn(one(Arc::clone(&shared), connection, handshake).instrument(span));
            }
            // One client hung up while it waited; that says nothing about the next. So many in a row say that the listener is
            // dead.
            Err(error) if is_of_client(&error) && hung_up < HUNG_UP_MAX => hung_up += 1,
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

/// As many as wait to be accepted, by the limit of most systems.
const HUNG_UP_MAX: u32 = 4_096;

async fn one(shared: Arc<Shared>, connection: Connection, handshake: Handshake) {
    let remote = connection.remote.clone();
    let limits = &shared.config.limits;
    let made = tokio::select! {
        () = handshake.evict.cancelled() => {
            handshake.set_over();
            shared.refused.crowded(&remote);
            return;
        }
        () = shared.closing.cancelled() => Err(HandshakeError::Unavailable),
        () = async {
            tokio::time::sleep(limits.handshake_first).await;
            if handshake.is_authentic() {
                tokio::time::sleep(limits.handshake_whole.saturating_sub(limits.handshake_first)).await;
            }
        } => Err(HandshakeError::Timeout),
        made = establish::accept(&shared, connection, &handshake) => made,
    };
    handshake.set_over();
    if let Err(error) = made {
        shared.refused.failed(&remote, &error);
    }
}
