//! Keeps a session to one peer for as long as it is wished for.

use std::io::ErrorKind;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument;

use super::establish;
use super::shared::{Shared, random};
use crate::error::ConnectError;
use crate::link::{Link, Wish};
use crate::net::PeerEvent;
use crate::proto::backoff::Backoff;

/// Dials whenever there is no session, until the wish is given up.
pub(super) async fn run(shared: Arc<Shared>, link: Arc<Link>, wish: Wish) {
    let span = tracing::info_span!("link", node = %shared.config.id, peer = %link.id());
    tokio::select! {
        () = wish.over.cancelled() => {}
        () = shared.closing.cancelled() => {}
        () = keep(&shared, &link, &wish).instrument(span) => {}
    }
    shared.forget_if_idle(&link);
}

async fn keep(shared: &Arc<Shared>, link: &Arc<Link>, wish: &Wish) {
    let limits = &shared.config.limits;
    let mut backoff = Backoff::new(limits.backoff_first, limits.backoff_max);
    let mut up = link.up.subscribe();
    loop {
        // The sender lives in the link, which this function borrows.
        if up.wait_for(|up| !up).await.is_err() {
            return;
        }
        let Some(Wish { address, .. }) = link.wish() else { return };
        // Boxed: it is large, and would stay as a part of this task for as long as the session lives.
        let dialing = Box::pin(establish::dial(shared, &address, Some(link.id())));
        let dialed = tokio::select! {
            dialed = dialing => dialed,
            () = wish.changed.notified() => continue,
        };
        match dialed {
            Ok(_node) => backoff.reset(),
            Err(error) => {
                let wait = backoff.next(random().unwrap_or_default());
                report(shared, link, &error, backoff.attempt());
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _up = up.wait_for(|up| *up) => backoff.reset(),
                    () = wish.changed.notified() => backoff.reset(),
                }
                link.expire(Instant::now());
                let messages = link.newly_dropped();
                if messages > 0 {
                    shared.emit(PeerEvent::Dropped { id: link.id().clone(), messages });
                }
            }
        }
    }
}

/// Says so at the first failure and then ever more rarely.
fn report(shared: &Shared, link: &Link, error: &ConnectError, attempt: u32) {
    if attempt.is_power_of_two() {
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        tracing::info!(node = %shared.config.id, peer = %link.id(), attempt, %error, cause, "cannot connect");
    }
    let refused = matches!(error, ConnectError::Unreachable { source, .. } if source.kind() == ErrorKind::ConnectionRefused);
    shared.emit(PeerEvent::Unreachable { id: link.id().clone(), attempt, refused });
}
