//! The only file that reads a clock. Samplers of one operation count the thread's own time, so that a machine with other
//! work to do disturbs them little; what it does to the caches stays.

use std::time::Instant;

/// Long enough that one reading of the clock, and one interrupt, are lost in it.
const SAMPLE_NS_MIN: f64 = 30e6;

/// A sampler of an operation that is repeated `n` times by the closure: nanoseconds for one.
///
/// The first sample also finds an `n` that lasts long enough to be timed, and warms the caches.
pub fn ns_per_op<'a>(mut repeat: impl FnMut(u64) + 'a) -> impl FnMut() -> f64 + 'a {
    let mut n = 0;
    move || {
        if n == 0 {
            n = 1;
            while elapsed_ns(|| repeat(n)) < SAMPLE_NS_MIN {
                n *= 2;
            }
        }
        elapsed_ns(|| repeat(n)) / n as f64
    }
}

/// A sampler of an operation that spends what `setup` made: nanoseconds for one, the setup and the drop of what
/// the operation returns not counted. A reading of the clock (a few hundred ns) is, so it suits operations of ten
/// microseconds and more.
pub fn ns_per_op_with_setup<'a, I, O>(
    mut setup: impl FnMut() -> I + 'a,
    mut operation: impl FnMut(I) -> O + 'a,
) -> impl FnMut() -> f64 + 'a {
    move || {
        let (mut total, mut count) = (0.0, 0);
        while total < SAMPLE_NS_MIN && count < 2_000 {
            let input = setup();
            let mut output = None;
            total += elapsed_ns(|| output = Some(operation(input)));
            drop(std::hint::black_box(output));
            count += 1;
        }
        total / f64::from(count)
    }
}

/// Uses a value up, unknown to the compiler: what made it is not optimised away.
#[inline]
pub fn consume<T>(value: T) {
    std::hint::black_box(value);
}

/// How long the closure takes by the clock on the wall, in seconds: for work of several threads or processes.
#[expect(clippy::disallowed_methods, reason = "a benchmark is a driver of its own: this is its clock file")]
pub fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// How long this thread computes for the closure: what others take of the processor meanwhile is not counted.
fn elapsed_ns(work: impl FnOnce()) -> f64 {
    let start = thread_ns();
    work();
    thread_ns() - start
}

fn thread_ns() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives through the call, which only writes it.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "this system does not count a thread's time");
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
