//! The only file that reads the clock.

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
/// the operation returns not counted. A reading of the clock (about 25 ns) is, so it suits operations of a
/// microsecond and more.
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

/// How long the closure takes, in seconds.
pub fn seconds(work: impl FnOnce()) -> f64 {
    elapsed_ns(work) / 1e9
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is a driver of its own: this is its clock file")]
fn elapsed_ns(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64
}
