//! What messages and servers take of the heap, counted exactly.
#![expect(unsafe_code, reason = "a counting allocator is one")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::{GlobalAlloc, Layout, System as Heap};
use std::cell::Cell;
use std::time::Duration;

use genserver::{
    Cx, GenServer, HandleCall, HandleCast, InitError, LocalAddr, Outcome, ReplyTo, Request, System,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting for each thread. Its tests run on one thread each.
struct Counting;

// SAFETY: every request is handed to the system's allocator unchanged; the counters are plain thread-local cells.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES.set(BYTES.get().wrapping_add(layout.size() as u64));
        // SAFETY: the caller's promise, passed on.
        unsafe { Heap.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get().wrapping_sub(layout.size() as u64));
        // SAFETY: the caller's promise, passed on.
        unsafe { Heap.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

struct Sum(u64);

struct Add(u64);

struct Total;

impl Request for Total {
    type Reply = u64;
}

impl GenServer for Sum {
    async fn init(&mut self, _cx: &mut Cx<Self>) -> Result<(), InitError> {
        Ok(())
    }
}

impl HandleCast<Add> for Sum {
    async fn cast(&mut self, Add(number): Add, _cx: &mut Cx<Self>) -> Outcome {
        // Suspends, as real handlers do: the future is the envelope's second life.
        tokio::task::yield_now().await;
        self.0 += number;
        Outcome::Continue
    }
}

impl HandleCall<Total> for Sum {
    async fn call(&mut self, _: Total, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(self.0)
    }
}

/// Sends so many casts, a mailbox's worth at a time, and waits until they are handled.
async fn casts(sum: &LocalAddr<Sum>, count: u64) {
    for _ in 0..count / BURST {
        for _ in 0..BURST {
            sum.cast(Add(1)).await.unwrap();
        }
        sum.call(Total).await.unwrap();
    }
}

const BURST: u64 = 500;

#[tokio::test]
async fn a_local_cast_allocates_its_envelope_and_nothing_else() {
    let sum = System::local().spawn_unnamed(Sum(0)).await.unwrap();
    // The queues grow to their size first.
    casts(&sum, 10 * BURST).await;
    let before = ALLOCATIONS.get();
    casts(&sum, 20 * BURST).await;
    let allocations = ALLOCATIONS.get() - before;
    let bursts = 20;
    // Of the call that ends a burst, the envelope, the slot and, now and then, the list of deadlines.
    let of_calls = 3 * bursts;
    assert!(allocations <= 20 * BURST + of_calls, "{allocations} for {} casts", 20 * BURST);
}

#[tokio::test]
async fn a_local_call_allocates_its_envelope_and_its_slot() {
    let sum = System::local().spawn_unnamed(Sum(0)).await.unwrap();
    for _ in 0..1_000 {
        sum.call(Total).await.unwrap();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..10_000 {
        sum.call(Total).await.unwrap();
    }
    let allocations = ALLOCATIONS.get() - before;
    assert!(allocations <= 2 * 10_000 + 10, "{allocations} for 10,000 calls");
}

#[tokio::test]
async fn an_idle_server_takes_less_than_two_kibibytes() {
    let system = System::local();
    let mut servers = Vec::with_capacity(10_000);
    for _ in 0..100 {
        servers.push(system.spawn_unnamed(Sum(0)).await.unwrap());
    }
    let before = BYTES.get();
    for _ in 0..1_000 {
        servers.push(system.spawn_unnamed(Sum(0)).await.unwrap());
    }
    let each = BYTES.get().wrapping_sub(before) / 1_000;
    assert!(each <= 2_048, "{each} bytes each");
}

#[tokio::test(start_paused = true)]
async fn those_who_give_up_waiting_for_a_busy_server_leave_nothing() {
    let sum = System::local().spawn_unnamed(Sum(0)).await.unwrap();
    sum.pause();
    sum.cast(Add(1)).await.unwrap();
    let give_up = async |times: u32| {
        for _ in 0..times {
            let idle = tokio::time::timeout(Duration::from_millis(1), sum.idle()).await;
            let ended = tokio::time::timeout(Duration::from_millis(1), sum.ended()).await;
            assert!(idle.is_err() && ended.is_err());
        }
    };
    give_up(100).await;
    let before = BYTES.get();
    give_up(10_000).await;
    let left = BYTES.get().wrapping_sub(before).cast_signed();
    assert!(left < 4_096, "{left} bytes are left");
}
