//! Nobody who waits is forgotten. On a network without delay, under a clock that moves only when every task waits, a
//! wake-up that is missing shows as time that passes: until the deadline of whoever waits, or the next heartbeat.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, id, server, settle, start};
use netkernel::{MemoryNetwork, Net};
use tokio::time::Instant;

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Lets other tasks run so many times: it is what makes the runs differ.
    async fn pause(&mut self) {
        for _ in 0..self.below(12) {
            tokio::task::yield_now().await;
        }
    }
}

/// Casts and calls, small and in pieces, of several tasks, to a peer for which next to nothing may wait while it is away.
/// Meanwhile either end dials further sessions, and every now and then the connections break.
#[tokio::test(start_paused = true)]
async fn nothing_waits_for_a_clock_while_sessions_are_replaced_and_lost() {
    for seed in 0..30 {
        let network = MemoryNetwork::new();
        let config = |name| {
            config(&network, name, 1)
                .backoff(Duration::from_millis(1), Duration::from_millis(4))
                .offline_queue(seed as usize % 3, 1 << 20, 30 * SECOND)
                .queue_bytes(100_000, 8 << 20)
        };
        let (a, mut b) = (start(config("a")).await, start(config("b")).await);
        a.connect(&b);
        a.kernel.dial(&b.address(), None, SECOND).await.unwrap();
        let longest = std::cell::Cell::new(Duration::ZERO);
        let casting = async |task: u64| {
            let mut numbers = Numbers(1_000 * seed + task);
            for _ in 0..25 {
                let begun = Instant::now();
                let body = Bytes::from(vec![0; [0, 500, 40_000, 300_000][numbers.below(4) as usize]]);
                if numbers.below(4) == 0 {
                    // It may fail with its link, but not be late.
                    let _echoed = a.kernel.call(&id("b"), &server("echo"), body, 30 * SECOND).await;
                } else {
                    let to = server(["sink", "nobody"][numbers.below(2) as usize]);
                    a.kernel.cast(&id("b"), &to, body, 30 * SECOND).await.expect("there is room in time");
                }
                longest.set(longest.get().max(begun.elapsed()));
                numbers.pause().await;
            }
        };
        let changing = async {
            let mut numbers = Numbers(seed);
            for _ in 0..12 {
                match numbers.below(5) {
                    0 => network.reset("a", "b"),
                    1 | 2 => drop(a.kernel.dial(&b.address(), None, SECOND).await),
                    _ => drop(b.kernel.dial(&a.address(), None, SECOND).await),
                }
                for _ in 0..numbers.below(6) {
                    numbers.pause().await;
                }
            }
        };
        tokio::join!(casting(1), casting(2), casting(3), changing);
        assert!(longest.get() < SECOND / 2, "seed {seed}: one waited for {:?}", longest.get());
        settle().await;
        let status = &a.kernel.peers()[0];
        assert_eq!((status.queued_messages, status.sessions), (0, 1), "seed {seed}: {status:?}");
        while b.casts.try_recv().is_ok() {}
    }
}
