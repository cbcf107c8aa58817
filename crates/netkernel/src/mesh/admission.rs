//! Who may be in mid-handshake: so many in all and from one place, and none by a message that was recorded.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::proto::hello::Hello;

/// The handshakes that are under way, oldest first.
#[derive(Default)]
pub(super) struct Handshakes(VecDeque<Handshake>);

/// One connection on its way to a session.
#[derive(Clone, Default)]
pub(super) struct Handshake {
    /// Where it comes from; none for loopback, where every client of the machine has one address.
    origin: Option<Arc<str>>,
    /// The peer's first message has opened: it holds the cookie, or plays again what one who does has sent.
    authentic: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    pub(super) evict: CancellationToken,
}

impl Handshake {
    /// The peer's first message has opened.
    pub(super) fn set_authentic(&self) {
        self.authentic.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_authentic(&self) -> bool {
        self.authentic.load(Ordering::Relaxed)
    }

    /// It takes no place any more: it has ended, or has one among the sessions.
    pub(super) fn set_over(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Handshakes {
    /// Admits one more. At a limit, the oldest whose first message has not opened makes room; if all have, the oldest.
    pub(super) fn admit(&mut self, host: &str, max: usize, per_host: usize) -> Handshake {
        self.0.retain(|handshake| !handshake.over.load(Ordering::Relaxed));
        let origin = origin(host);
        let from_there = |handshake: &Handshake| origin.is_some() && handshake.origin == origin;
        if self.0.iter().filter(|handshake| from_there(handshake)).count() >= per_host {
            self.evict(from_there);
        }
        if self.0.len() >= max {
            self.evict(|_| true);
        }
        let handshake = Handshake { origin, ..Handshake::default() };
        self.0.push_back(handshake.clone());
        handshake
    }

    /// Drops the oldest of those given that has proven least.
    fn evict(&mut self, of: impl Fn(&Handshake) -> bool) {
        let stranger = |handshake: &Handshake| !handshake.is_authentic() && of(handshake);
        let oldest = self.0.iter().position(stranger).or_else(|| self.0.iter().position(of));
        if let Some(dropped) = oldest.and_then(|oldest| self.0.remove(oldest)) {
            dropped.evict.cancel();
        }
    }
}

/// What connections of one place have in common: their address, or of IPv6 the 64 bits that whoever has one such address
/// has all of. None for loopback.
fn origin(host: &str) -> Option<Arc<str>> {
    match host.parse().map(|ip: IpAddr| ip.to_canonical()) {
        Ok(ip) if ip.is_loopback() => None,
        Ok(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            Some(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64").into())
        }
        _ => Some(host.into()),
    }
}

/// The first messages that opened of late. Each of a kernel's has a number of its own, so one that comes twice was
/// recorded and is played again: it can come to nothing, and must not take a place meanwhile.
#[derive(Default)]
pub(super) struct FirstMessages(Mutex<VecDeque<(Instant, u64, u64)>>);

impl FirstMessages {
    /// Whether this one did not come before, within so long.
    pub(super) fn is_new(&self, hello: &Hello, within: Duration) -> bool {
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while seen.front().is_some_and(|(at, ..)| now.saturating_duration_since(*at) > within)
            || seen.len() >= FIRST_MESSAGES_MAX
        {
            seen.pop_front();
        }
        let is_new = seen
            .iter()
            .all(|(_, instance, connection)| (*instance, *connection) != (hello.instance, hello.connection));
        if is_new {
            seen.push_back((now, hello.instance, hello.connection));
        }
        is_new
    }
}

/// More than come within three seconds where a large cluster starts at once.
const FIRST_MESSAGES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(handshakes: &mut Handshakes, host: &str, max: usize, per_host: usize) -> Handshake {
        handshakes.admit(host, max, per_host)
    }

    #[test]
    fn a_flood_of_strangers_evicts_the_oldest_strangers_only() {
        let mut handshakes = Handshakes::default();
        let good = stranger(&mut handshakes, "10.0.0.1", 4, 4);
        good.set_authentic();
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
    fn the_addresses_of_one_ipv6_network_are_one_host() {
        let mut handshakes = Handshakes::default();
        let greedy: Vec<Handshake> = (1..6)
            .map(|last| stranger(&mut handshakes, &format!("2001:db8:0:7::{last:x}"), 100, 2))
            .collect();
        assert_eq!(greedy.iter().filter(|stranger| !stranger.evict.is_cancelled()).count(), 2);
        let other = stranger(&mut handshakes, "2001:db8:0:8::1", 100, 2);
        let mapped: Vec<Handshake> =
            [4, 5].map(|last| stranger(&mut handshakes, &format!("::ffff:10.0.0.{last}"), 100, 1)).into();
        assert!(mapped.iter().chain([&other]).all(|stranger| !stranger.evict.is_cancelled()));
    }

    #[test]
    fn first_messages_that_lead_nowhere_make_room_too_but_whoever_has_a_place_elsewhere_does_not() {
        let mut handshakes = Handshakes::default();
        let replayed: Vec<Handshake> = (0..3).map(|_| stranger(&mut handshakes, "10.0.0.1", 3, 3)).collect();
        replayed.iter().for_each(Handshake::set_authentic);
        let newest = stranger(&mut handshakes, "10.0.0.2", 3, 3);
        newest.set_authentic();
        let evicted: Vec<bool> = replayed.iter().map(|replayed| replayed.evict.is_cancelled()).collect();
        assert_eq!(evicted, [true, false, false]);
        [&replayed[1], &replayed[2], &newest].into_iter().for_each(Handshake::set_over);
        let others: Vec<Handshake> = (0..3).map(|_| stranger(&mut handshakes, "10.0.0.1", 3, 3)).collect();
        let all = replayed[1..].iter().chain([&newest]).chain(&others);
        assert!(all.into_iter().all(|handshake| !handshake.evict.is_cancelled()));
    }

    #[test]
    fn finished_handshakes_leave_their_places() {
        let mut handshakes = Handshakes::default();
        let first = stranger(&mut handshakes, "10.0.0.1", 1, 1);
        first.set_over();
        stranger(&mut handshakes, "10.0.0.1", 1, 1);
        assert!(!first.evict.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_message_is_new_once_in_a_while_and_so_many_are_remembered() {
        let (first_messages, within) = (FirstMessages::default(), Duration::from_secs(3));
        let hello = |connection| crate::golden::hello("a", crate::node::Role::Node, connection);
        assert!(first_messages.is_new(&hello(1), within) && first_messages.is_new(&hello(2), within));
        assert!(!first_messages.is_new(&hello(1), within));
        tokio::time::advance(within + Duration::from_millis(1)).await;
        assert!(first_messages.is_new(&hello(1), within));
        assert!((2..5_000).all(|connection| first_messages.is_new(&hello(connection), within)));
        assert_eq!(first_messages.0.lock().unwrap().len(), FIRST_MESSAGES_MAX);
    }
}
