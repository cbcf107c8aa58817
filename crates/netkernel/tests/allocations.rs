//! What a peer makes a node allocate: no more than it has sent, and 64 KiB, where it lies about lengths; and a few times
//! what it has sent where it begins what it does not end.
#![expect(unsafe_code, reason = "a counting allocator is one")]

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use common::{TestNode, node, settle};
use netkernel::{MemoryNetwork, Net, Transport};
use shim::{
    CANCEL, CAST, CHUNK, CREDIT, FIRST, PING, RESET, Shim, WHOLE, cast, control, define, frame, put_varint,
};
use tokio::io::AsyncWriteExt;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread. Each test runs on one.
struct Counting;

// SAFETY: every request is handed to the system's allocator unchanged; the counters are plain thread-local cells.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.get().wrapping_add(layout.size());
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Fails if more is allocated at any moment of `sends` than it sends, and 64 KiB.
async fn assert_modest(what: &str, sends: impl AsyncFnOnce() -> usize) {
    settle().await;
    let before = LIVE.get();
    PEAK.set(before);
    let sent = sends().await;
    settle().await;
    let took = PEAK.get() - before;
    assert!(took <= sent + 64 * 1_024, "{what}: {took} bytes for {sent} sent");
}

async fn bomb(b: &TestNode, network: &MemoryNetwork, what: &str, bytes: Vec<u8>) {
    let mut bad = Shim::connect(network, b, "mallory").await;
    bad.record(&define(1, "sink")).await;
    let record = bad.sealed(&bytes);
    assert_modest(what, async || {
        bad.raw(&record).await;
        record.len()
    })
    .await;
    drop(bad);
    settle().await;
    assert!(b.kernel.peers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_length_bomb_allocates_no_more_than_it_sends_and_64_kib() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let claims = |claim: u64, kind: u8| {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, claim);
        bytes.extend([kind, WHOLE]);
        bytes
    };
    for claim in [1 << 16, 1 << 31, 1 << 40, u64::MAX] {
        bomb(&b, &network, &format!("a frame of {claim} bytes"), claims(claim, CAST)).await;
        let total = frame(CAST, FIRST, 1 << 63, Some((1, 0, claim)), b"x");
        bomb(&b, &network, &format!("a message of {claim} bytes"), total).await;
        let mut extension = vec![CAST, WHOLE, 0, 1, 0, 0, 0];
        put_varint(&mut extension, claim);
        let extension = [&[extension.len() as u8][..], &extension].concat();
        bomb(&b, &network, &format!("an extension of {claim} bytes"), extension).await;
        let mut credit = Vec::new();
        (0..3).for_each(|_| put_varint(&mut credit, claim));
        credit.extend(b"sink");
        bomb(&b, &network, &format!("credit for {claim} casts"), frame(CREDIT, 0, 0, None, &credit)).await;
    }
    let many = (0..100u64).flat_map(|id| frame(CAST, FIRST, (1 << 63) + id, Some((1, 0, 4 << 20)), b"x"));
    bomb(&b, &network, "a hundred messages of 4 MiB each, one byte of each", many.collect()).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_or_handshake_that_claims_more_than_comes_allocates_no_more_than_came_and_64_kib() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut bad = Shim::connect(&network, &b, "mallory").await;
    assert_modest("a record of 65,535 bytes that never comes", async || {
        bad.raw(&[0xff, 0xff, 1, 2, 3]).await;
        5
    })
    .await;
    drop(bad);
    for length in [[0x04, 0x00], [0x04, 0x01], [0xff, 0xff]] {
        // What the network in memory takes for a connection is not the node's.
        let mut stranger = network.host("stranger").connect(&b.address()).await.unwrap();
        assert_modest("a first message that never comes", async || {
            stranger.write.write_all(b"CLK1\x01\x01").await.unwrap();
            stranger.write.write_all(&length).await.unwrap();
            8
        })
        .await;
    }
}

/// A message of which some pieces come: up to twice what came, and three times while its buffer is enlarged.
#[tokio::test(start_paused = true)]
async fn an_unfinished_message_takes_up_to_twice_what_came_of_it() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut bad = Shim::connect(&network, &b, "mallory").await;
    bad.record(&define(1, "sink")).await;
    let part = vec![0; 60_000];
    // What the network and the reader keep room for is made before.
    for _ in 0..5 {
        bad.record(&frame(0x40, 0, 0, None, &part)).await;
    }
    settle().await;
    let before = LIVE.get();
    PEAK.set(before);
    let mut sent = 0;
    for number in 0..20 {
        let piece = match number {
            0 => frame(CAST, FIRST, 1 << 63, Some((1, 0, 4 << 20)), &part),
            _ => frame(CHUNK, 0, 1 << 63, None, &part),
        };
        bad.record(&piece).await;
        settle().await;
        sent += piece.len();
        let (live, peak) = (LIVE.get() - before, PEAK.get() - before);
        assert!(live <= 2 * sent + 64 * 1_024, "{live} bytes are held of {sent}");
        assert!(peak <= 3 * sent + 128 * 1_024, "{peak} bytes were held for {sent}");
    }
}

/// FINISH names broken sessions, of which there are few: a long list is refused before it is taken in.
#[tokio::test(start_paused = true)]
async fn a_long_list_of_broken_sessions_takes_no_more_than_it_sends() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut bad = Shim::unconfirmed(&network, &b, "mallory", Shim::hello("mallory", 1)).await;
    let mut finish = b"FINISH".to_vec();
    put_varint(&mut finish, 60_000);
    finish.resize(finish.len() + 60_000, 1);
    let record = bad.sealed(&finish);
    assert_modest("a list of 60,000 sessions", async || {
        bad.raw(&record).await;
        // The network in memory keeps it as well.
        2 * record.len()
    })
    .await;
    assert_eq!(bad.next_record().await, None, "it is refused");
}

/// Peers that flood and read nothing: what a node keeps for them is bounded by what it remembers of a session, names most
/// of all, and not by what they send.
#[tokio::test(start_paused = true)]
async fn floods_take_no_memory_however_long_they_last() {
    for casts in [false, true] {
        let network = MemoryNetwork::new();
        let b = node(&network, "b").await;
        let mut bad = Shim::connect(&network, &b, "mallory").await;
        settle().await;
        let (before, mut sent, mut named) = (LIVE.get(), 0, 0);
        let flooding = async {
            for round in 0..400_u64 {
                let mut record = Vec::new();
                for index in 0..200 {
                    let id = round * 200 + index;
                    named += 1;
                    for kind in [CANCEL, RESET, PING] {
                        record.extend(control(kind, id));
                    }
                    record.extend(define(named, &format!("{named:0200}")));
                    if casts {
                        record.extend(cast(named, b""));
                    }
                }
                if !bad.record(&record).await {
                    return;
                }
                sent += record.len();
                // What either end still holds of a record goes with it.
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(1), flooding).await.is_ok();
        // One that has casts refused and does not read that is not read either.
        assert_eq!(ended, !casts);
        assert!(casts || sent > 16 << 20, "{sent} bytes are no flood");
        let held = LIVE.get().saturating_sub(before);
        assert!(held < 4 << 20, "{held} bytes are held after {sent}");
        assert!(b.kernel.peers()[0].connected, "it was closed, and nothing was tested");
    }
}

/// The layer above is told how much it keeps with a small body: no sender makes it more.
#[tokio::test(start_paused = true)]
async fn a_body_that_is_kept_keeps_no_more_than_200_kb() {
    let network = MemoryNetwork::new();
    let mut b = node(&network, "b").await;
    let mut bad = Shim::connect(&network, &b, "mallory").await;
    bad.record(&define(1, "sink")).await;
    settle().await;
    let before = LIVE.get();
    let mut kept = Vec::new();
    for _ in 0..100 {
        // Passed over, but read along with what follows it.
        bad.record(&[frame(0x40, 0, 0, None, &[0; 64_000]), cast(1, b"x")].concat()).await;
        settle().await;
        kept.extend(std::iter::from_fn(|| b.casts.try_recv().ok()));
    }
    let each = (LIVE.get() - before) / kept.len();
    assert_eq!(kept.len(), 100);
    assert!(each <= 200_000, "{each} bytes with each");
}
