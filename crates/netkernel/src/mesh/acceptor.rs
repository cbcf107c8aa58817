//! Takes connections in. Each handshake has a task of its own, so that no client can hold up another.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::shared::Shared;
use super::{establish, refused};
use crate::error::HandshakeError;
use crate::proto::backoff::Backoff;
use crate::transport::{Connection, Listener};

/// Accepts until the kernel closes.
pub(super) async fn run(shared: Arc<Shared>, mut listener: Box<dyn Listener>) {
    let limits = &shared.config.limits;
    let mut errors = Backoff::new(limits.backoff_first, limits.backoff_max);
    let mut handshakes = Handshakes::default();
    let mut overdue = tokio::time::interval(refused::OVERDUE);
    loop {
        let accepted = tokio::select! {
            () = shared.closing.cancelled() => return,
            _ = overdue.tick() => {
                shared.refused.tell_overdue();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => {
                errors.reset();
                match handshakes.admit(
                    connection.remote.host(),
                    limits.handshakes_max,
                    limits.handshakes_per_host_max,
                ) {
                    Some(handshake) => {
                        let node = &shared.config.id;
                        let span = tracing::info_span!("handshake", %node, remote = %connection.remote);
                        shared.spawn(one(Arc::clone(&shared), connection, handshake).instrument(span));
                    }
                    None => shared.refused.crowded(&connection.remote),
                }
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
    /// Where it comes from; none for loopback, where every client of the machine has one address.
    host: Option<Arc<str>>,
    /// The peer has shown that it holds the cookie.
    authentic: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    evict: CancellationToken,
}

impl Handshakes {
    /// Admits one more. At a limit, the oldest that has not shown the cookie makes room; if all have, the newcomer
    /// is refused.
    fn admit(&mut self, host: &str, max: usize, per_host: usize) -> Option<Handshake> {
        self.0.retain(|handshake| !handshake.over.load(Ordering::Relaxed));
        let loopback = host.parse().is_ok_and(|ip: std::net::IpAddr| ip.to_canonical().is_loopback());
        let host: Option<Arc<str>> = (!loopback).then(|| host.into());
        let from_there = |handshake: &Handshake| host.is_some() && handshake.host == host;
        if self.0.iter().filter(|handshake| from_there(handshake)).count() >= per_host {
            self.evict(from_there)?;
        }
        if self.0.len() >= max {
            self.evict(|_| true)?;
        }
        let handshake = Handshake { host, ..Handshake::default() };
        self.0.push_back(handshake.clone());
        Some(handshake)
    }

    /// Drops the oldest stranger of those given.
    fn evict(&mut self, of: impl Fn(&Handshake) -> bool) -> Option<()> {
        let stranger = |handshake: &Handshake| !handshake.authentic.load(Ordering::Relaxed) && of(handshake);
        let oldest = self.0.iter().position(stranger)?;
        self.0.remove(oldest)?.evict.cancel();
        Some(())
    }
}

async fn one(shared: Arc<Shared>, connection: Connection, handshake: Handshake) {
    let remote = connection.remote.clone();
    let limits = &shared.config.limits;
    let mark = || handshake.authentic.store(true, Ordering::Relaxed);
    let made = tokio::select! {
        () = handshake.evict.cancelled() => {
            handshake.over.store(true, Ordering::Relaxed);
            shared.refused.crowded(&remote);
            return;
        }
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
    if let Err(error) = made {
        shared.refused.failed(&remote, &error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(handshakes: &mut Handshakes, host: &str, max: usize, per_host: usize) -> Handshake {
        handshakes.admit(host, max, per_host).expect("a stranger can be evicted")
    }

    #[test]
    fn a_flood_of_strangers_evicts_the_oldest_strangers_only() {
        let mut handshakes = Handshakes::default();
        let good = stranger(&mut handshakes, "10.0.0.1", 4, 4);
        good.authentic.store(true, Ordering::Relaxed);
        let strangers: Vec<Handshake> =
            (0..100).map(|_| stranger(&mut handshakes, "127.0.0.1", 4, 4)).collect();
        assert!(!good.evict.is_cancelled());
        let evicted: Vec<bool> = strangers.iter().map(|stranger| stranger.evict.is_cancelled()).collect();
        assert_eq!(evicted, [vec![true; 97], vec![false; 3]].concat());
    }

    #[test]
    fn one_host_takes_no_more_than_its_share_and_loopback_is_exempt() {
        let mut handshakes = Handshakes::default();
        let other = stranger(&mut handshakes, "10.0.0.2", 100, 2);
        let greedy: Vec<Handshake> = (0..5).map(|_| stranger(&mut handshakes, "10.0.0.1", 100, 2)).collect();
        assert_eq!(greedy.iter().filter(|stranger| !stranger.evict.is_cancelled()).count(), 2);
        assert!(!other.evict.is_cancelled());
        let local: Vec<Handshake> = ["127.0.0.1", "::1", "::ffff:127.0.0.1", "127.9.9.9"]
            .map(|host| stranger(&mut handshakes, host, 100, 2))
            .into();
        assert!(local.iter().all(|stranger| !stranger.evict.is_cancelled()));
    }

    #[test]
    fn holders_of_the_cookie_are_not_evicted_for_newcomers() {
        let mut handshakes = Handshakes::default();
        for _ in 0..3 {
            stranger(&mut handshakes, "10.0.0.1", 3, 3).authentic.store(true, Ordering::Relaxed);
        }
        assert!(handshakes.admit("10.0.0.2", 3, 3).is_none());
    }

    #[test]
    fn finished_handshakes_leave_their_places() {
        let mut handshakes = Handshakes::default();
        let first = stranger(&mut handshakes, "10.0.0.1", 1, 1);
        first.over.store(true, Ordering::Relaxed);
        stranger(&mut handshakes, "10.0.0.1", 1, 1);
        assert!(!first.evict.is_cancelled());
    }
}
