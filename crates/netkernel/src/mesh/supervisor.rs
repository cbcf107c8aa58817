//! Keeps a session to one peer for as long as it is wished for.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SemaphorePermit, watch};
use tokio::time::Instant;
use tracing::Instrument;

use super::establish::{self, Purpose};
use super::shared::{Shared, random};
use crate::error::ConnectError;
use crate::link::{Link, Wish};
use crate::net::PeerEvent;
use crate::proto::backoff::Backoff;

/// Sees to a link's wish, if it has one that nobody sees to.
pub(super) fn begin(shared: &Arc<Shared>, link: &Arc<Link>) {
    if let Some(wish) = link.take_up_wish() {
        shared.spawn(run(Arc::clone(shared), Arc::clone(link), wish));
    }
}

/// Dials whenever there is no session, until the wish is given up.
async fn run(shared: Arc<Shared>, link: Arc<Link>, wish: Wish) {
    let span = tracing::debug_span!("link", node = %shared.config.id, peer = %link.id());
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
    // Since when there has been a session, if it is not known to be one that lasts.
    let mut since: Option<Instant> = None;
    loop {
        // The sender lives in the link, which this function borrows.
        if up.wait_for(|up| !up).await.is_err() {
            return;
        }
        if let Some(made) = since.take() {
            if made.elapsed() >= limits.backoff_max {
                backoff.reset();
            // Lost as soon as it was made: the next may fare no better.
            } else if pause(&mut backoff, &mut up, wish).await {
                since = Some(Instant::now());
                continue;
            }
        }
        // While it waits for its turn the peer may have dialed, and a handshake is spared. Boxed, here and below: what
        // is large would stay a part of this task for as long as the session lives.
        let waiting = Box::pin(turn(shared, link));
        let turn = tokio::select! {
            turn = waiting => turn,
            _up = up.wait_for(|up| *up) => {
                since = Some(Instant::now());
                continue;
            }
        };
        let Some(Wish { address, .. }) = link.wish() else { return };
        let dialing = Box::pin(establish::dial(shared, &address, Some(link.id()), Purpose::Any));
        let dialed = tokio::select! {
            dialed = dialing => dialed,
            () = wish.changed.notified() => continue,
        };
        drop(turn);
        match dialed {
            Ok(_node) => since = Some(Instant::now()),
            Err(error) => {
                report(shared, link, &error, backoff.attempt() + 1);
                if pause(&mut backoff, &mut up, wish).await {
                    since = Some(Instant::now());
                }
                link.expire();
                shared.report_losses(link);
            }
        }
    }
}

/// Waits before dialing again, for as long as the backoff says or until there is a session, which is true then, or a new
/// address to try.
async fn pause(backoff: &mut Backoff, up: &mut watch::Receiver<bool>, wish: &Wish) -> bool {
    let wait = backoff.next(random().unwrap_or_default());
    tokio::select! {
        () = tokio::time::sleep(wait) => false,
        up = up.wait_for(|up| *up) => up.is_ok(),
        () = wish.changed.notified() => {
            backoff.reset();
            false
        }
    }
}

/// Waits until it is this link's turn to be dialed.
async fn turn<'a>(shared: &'a Shared, link: &Link) -> Option<SemaphorePermit<'a>> {
    if *link.id() < shared.config.id {
        // Of two sessions that are dialed at once, the one dialed from there would stay.
        tokio::time::sleep(HEAD_START).await;
    }
    // Not for long: the dials under way may be to hosts that do not answer.
    tokio::time::timeout(TURN_PATIENCE, shared.dials.acquire()).await.ok()?.ok()
}

/// Says so at the first failure and then ever more rarely.
fn report(shared: &Shared, link: &Link, error: &ConnectError, attempt: u32) {
    if attempt.is_power_of_two() {
        let error = with_causes(error);
        tracing::info!(node = %shared.config.id, peer = %link.id(), attempt, %error, "cannot connect");
    }
    let refused = matches!(error, ConnectError::Unreachable { source, .. } if source.kind() == ErrorKind::ConnectionRefused);
    shared.emit(PeerEvent::Unreachable { id: link.id().clone(), attempt, refused });
}

/// An error and what caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// As long as a stranger's connection may hold a place at an acceptor.
const TURN_PATIENCE: Duration = Duration::from_millis(500);
/// Enough for a handshake on a local network; much less than one dials again after.
const HEAD_START: Duration = Duration::from_millis(10);
