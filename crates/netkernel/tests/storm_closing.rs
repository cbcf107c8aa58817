//! Links that are closed over and over, from both ends and under load on several threads, while their sessions break and
//! are replaced.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{SECOND, config, server};
use netkernel::{
    CallError, Dispatch, Incarnation, Kernel, MemoryNetwork, Net, Node, Peer, PeerEvent, Refusal, Responder,
    ServerName,
};
use tokio::task::JoinSet;

/// What one end of the pair is told.
#[derive(Default)]
struct Seen {
    /// The last cast that came to each server.
    last: Mutex<HashMap<ServerName, u64>>,
    calls: Mutex<HashSet<u64>>,
    offered: AtomicUsize,
    is_up: AtomicBool,
    wrong: Mutex<Vec<String>>,
}

impl Seen {
    fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    /// Up and down by turns.
    fn event(&self, event: &PeerEvent) {
        let is_up = match event {
            PeerEvent::Up { .. } => true,
            PeerEvent::Down { .. } => false,
            _ => return,
        };
        if self.is_up.swap(is_up, Ordering::Relaxed) == is_up {
            self.wrong(format!("twice: {event:?}"));
        }
    }
}

struct Checking(Arc<Seen>);

impl Dispatch for Checking {
    fn cast(&self, _from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        // Full in spells.
        if self.0.offered.fetch_add(1, Ordering::Relaxed) % 256 < 32 {
            return Err(Refusal::Overloaded);
        }
        let number = number_of(&body);
        let last = self.0.last.lock().unwrap().insert(server.clone(), number);
        if last.is_some_and(|last| last >= number) {
            self.0.wrong(format!("{server}: {number} after {last:?}"));
        }
        Ok(())
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes, responder: Responder) {
        if !self.0.calls.lock().unwrap().insert(number_of(&body)) {
            self.0.wrong(format!("call {} twice", number_of(&body)));
        }
        responder.reply(body);
    }
}

fn numbered(number: u64) -> Bytes {
    let bytes = [0, 30, 2_000, 20_000, 70_000, 10][usize::try_from(number % 6).unwrap()];
    let mut body = number.to_be_bytes().to_vec();
    body.resize(8 + bytes, 0);
    body.into()
}

fn number_of(body: &Bytes) -> u64 {
    u64::from_be_bytes(body[..8].try_into().unwrap())
}

/// One end, the node at the other, and what has been done at either.
#[derive(Clone)]
struct End {
    kernel: Kernel,
    other: Node,
    seen: Arc<Seen>,
    attempts: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl End {
    /// Counts an attempt, and lets others have the thread: one that is refused at once would keep it.
    async fn goes_on(&self) -> bool {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        !self.over.load(Ordering::Relaxed)
    }

    async fn casts(self, server: ServerName) {
        let mut number = 0;
        while self.goes_on().await {
            number += 1;
            // Whatever becomes of it.
            let _outcome = self.kernel.cast(&self.other.id, &server, numbered(number), SECOND / 200).await;
        }
    }

    /// Each call ends by its reply or with its link, long before its time is up.
    async fn calls(self) {
        let mut number = 0;
        while self.goes_on().await {
            number += 1;
            let body = numbered(number);
            match self.kernel.call(&self.other.id, &server("calls"), body.clone(), 30 * SECOND).await {
                Ok(reply) if reply == body => {}
                Ok(reply) => self.seen.wrong(format!("call {number} has the reply to {}", number_of(&reply))),
                Err(error @ CallError::Timeout { .. }) => {
                    self.seen.wrong(format!("call {number}: {error}, {:?}", self.kernel.peers()));
                }
                Err(_lost_or_refused) => {}
            }
        }
    }

    /// Disturbs the pair so many times, as things go on.
    async fn disturbs(self, network: MemoryNetwork, mut random: u64) {
        let Node { id, address, .. } = &self.other;
        let mut next = 0;
        for _ in 0..disturbances() {
            while self.attempts.load(Ordering::Relaxed) < next {
                tokio::task::yield_now().await;
            }
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            next = self.attempts.load(Ordering::Relaxed) + usize::try_from((random >> 40) % 200).unwrap();
            match (random >> 33) % 16 {
                0..9 => drop(self.kernel.dial(address, None, SECOND).await),
                9 | 10 => network.reset("a", "b"),
                11 | 12 => {
                    self.kernel.set_incarnation(Incarnation(self.kernel.local().incarnation.0 + 1));
                }
                _ => {
                    self.kernel.disconnect(id, random & 1 << 50 != 0);
                    self.kernel.connect(id, address);
                }
            }
        }
    }

    /// All is told as it is, nothing is under way, and no window has shut.
    fn is_whole(&self) -> bool {
        let peers = self.kernel.peers();
        let is_whole = peers.first().is_some_and(|peer| {
            let left =
                [peer.calls_pending, peer.calls_executing, peer.queued_messages, peer.casts_held.messages];
            // Of each server, what is not worth a frame is less than a quarter of a window.
            let kept = peer.casts_unacknowledged;
            peer.connected
                && (peer.sessions, left) == (1, [0; 4])
                && kept.messages < CASTERS * 1_024
                && kept.bytes < CASTERS * 600_000
        });
        is_whole && self.seen.is_up.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn links_that_are_closed_under_load_are_told_as_they_are_and_leave_nothing_behind() {
    let network = MemoryNetwork::new();
    let (attempts, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let seen = [Arc::<Seen>::default(), Arc::<Seen>::default()];
    let mut kernels = Vec::new();
    for (name, seen) in ["a", "b"].into_iter().zip(&seen) {
        let quick = config(&network, name, 1).backoff(SECOND / 1_000, SECOND / 250);
        let kernel = Kernel::bind(quick.build().unwrap()).await.unwrap();
        kernel.serve(Arc::new(Checking(Arc::clone(seen))));
        kernels.push(kernel);
    }
    let nodes: Vec<Node> = kernels.iter().map(Net::local).collect();
    let (mut loads, mut disturbers, mut told) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    let mut ends = Vec::new();
    // Before anything is to be told.
    for (kernel, seen) in kernels.iter().zip(&seen) {
        let (mut events, of_it) = (kernel.events(), Arc::clone(seen));
        told.spawn(async move {
            while let Some(event) = events.recv().await.unwrap() {
                of_it.event(&event);
            }
        });
    }
    for (index, (kernel, seen)) in kernels.into_iter().zip(seen).enumerate() {
        let other = nodes[1 - index].clone();
        kernel.connect(&other.id, &other.address);
        let (attempts, over) = (Arc::clone(&attempts), Arc::clone(&over));
        let end = End { kernel, other, seen, attempts, over };
        for caster in 0..CASTERS {
            loads.spawn(end.clone().casts(server(&format!("casts-{caster}"))));
        }
        loads.spawn(end.clone().calls());
        disturbers.spawn(end.clone().disturbs(network.clone(), u64::from(std::process::id()) + index as u64));
        ends.push(end);
    }
    disturbers.join_all().await;
    over.store(true, Ordering::Relaxed);
    loads.join_all().await;
    let settles = async {
        while !ends.iter().all(End::is_whole) {
            tokio::task::yield_now().await;
        }
    };
    let settled = tokio::time::timeout(30 * SECOND, settles).await;
    for end in &ends {
        assert_eq!(*end.seen.wrong.lock().unwrap(), [""; 0], "at {}", end.kernel.local().id);
        let is_up = end.seen.is_up.load(Ordering::Relaxed);
        assert!(settled.is_ok(), "told as up: {is_up}; {:?}", end.kernel.peers());
        assert!(end.seen.calls.lock().unwrap().len() > disturbances() / 10, "some calls are carried out");
        end.kernel.shutdown(SECOND).await;
    }
    told.join_all().await;
}

/// At each end. `STORM_DISTURBANCES` makes it longer.
fn disturbances() -> usize {
    std::env::var("STORM_DISTURBANCES").map_or(DISTURBANCES, |number| number.parse().expect("a number"))
}

/// Some seconds of them.
const DISTURBANCES: usize = 100;
const CASTERS: usize = 5;
