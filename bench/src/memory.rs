//! Heap bytes, counted where they are asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting. A binary that reports bytes installs it:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: bench::CountingAllocator = bench::CountingAllocator;
///
/// let (heap, block) = bench::Heap::of(|| vec![0_u8; 1_000]);
/// assert_eq!(heap.live, 1_000);
/// drop(block);
/// ```
#[derive(Debug)]
pub struct CountingAllocator;

// SAFETY: every request is handed to the system's allocator unchanged; the counters touch no memory of it.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size(), Relaxed);
        grow(new_size);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
    PEAK.fetch_max(live, Relaxed);
}

/// Heap bytes that one step took.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// Still held by what the step returned.
    pub live: usize,
    /// The most held at once during it.
    pub peak: usize,
}

impl Heap {
    /// Heap bytes held now, by all threads.
    pub fn now() -> usize {
        LIVE.load(Relaxed)
    }

    /// Counts the heap bytes of a step that only this thread works on.
    pub fn of<T>(step: impl FnOnce() -> T) -> (Heap, T) {
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let value = step();
        let live = LIVE.load(Relaxed).saturating_sub(before);
        (Heap { live, peak: PEAK.load(Relaxed) - before }, value)
    }
}
