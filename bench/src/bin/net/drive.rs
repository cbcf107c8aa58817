//! The loads, the same for every contender that is a Rust library.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use tokio_util::task::TaskTracker;

use crate::job::{Job, Outcome, PATIENCE};
use crate::usage;

/// A connection to a receiver that has two servers: one counts casts and is asked for their [`COUNT`], the other
/// answers the other calls.
pub trait Client: Clone + Send + Sync + 'static {
    fn cast(&self, body: Bytes) -> impl Future<Output = ()> + Send;
    fn call(&self, body: Bytes) -> impl Future<Output = Bytes> + Send;
}

pub const COUNT: Bytes = Bytes::from_static(b"count");

/// What a receiver replies to a call, having received so many casts.
pub fn reply(request: Bytes, casts: u64) -> Bytes {
    if request == COUNT { Bytes::copy_from_slice(&casts.to_be_bytes()) } else { request }
}

/// Starts a task of this process, which ends with its measurement.
pub fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    static TASKS: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);
    TASKS.spawn(task)
}

pub async fn run(client: impl Client, job: Job) -> Outcome {
    client.call(Bytes::from_static(b"warm")).await;
    let before = usage::of_this_process();
    let mut outcome = match job {
        Job::Casts { count, bytes } => casts(client, count, bytes).await,
        Job::Calls { callers, each } => calls(client, callers, each).await,
        Job::Saturated { calls } => saturated(client, calls).await,
    };
    let after = usage::of_this_process();
    outcome.cpu_us = after.cpu_us - before.cpu_us;
    outcome.sender_peak_mb = after.peak_mb;
    outcome
}

async fn casts(client: impl Client, count: u64, bytes: usize) -> Outcome {
    let body = Bytes::from(vec![7; bytes]);
    let start = now();
    for _ in 0..count {
        client.cast(body.clone()).await;
    }
    let arrived = all_arrived(&client, count).await;
    let seconds = start.elapsed().as_secs_f64();
    let rate = arrived as f64 / seconds;
    Outcome {
        rate,
        megabytes_a_second: rate * bytes as f64 / 1e6,
        dropped: count - arrived,
        messages: count,
        ..Outcome::default()
    }
}

/// Waits until so many casts have arrived, or no more do.
async fn all_arrived(client: &impl Client, count: u64) -> u64 {
    let start = now();
    loop {
        let reply = client.call(COUNT).await;
        let arrived = u64::from_be_bytes(reply[..8].try_into().expect("a count has eight bytes"));
        if arrived >= count || start.elapsed() > PATIENCE {
            return arrived;
        }
        tokio::task::yield_now().await;
    }
}

async fn calls(client: impl Client, callers: usize, each: usize) -> Outcome {
    let start = now();
    let callers: Vec<_> = (0..callers).map(|_| spawn(caller(client.clone(), each))).collect();
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await.expect("a caller does not panic"));
    }
    let rate = latencies.len() as f64 / start.elapsed().as_secs_f64();
    Outcome { rate, messages: latencies.len() as u64, ..percentiles(latencies) }
}

async fn caller(client: impl Client, calls: usize) -> Vec<f64> {
    let body = Bytes::from_static(&[7; 64]);
    let mut latencies = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = now();
        client.call(body.clone()).await;
        latencies.push(start.elapsed().as_secs_f64() * 1e6);
    }
    latencies
}

/// Casts of 1 MiB, first by themselves, then with one caller's small calls to another server beside them.
async fn saturated(client: impl Client, calls: usize) -> Outcome {
    let alone = casts(client.clone(), ALONE, BULK_BYTES).await;
    let stop = Arc::new(AtomicBool::new(false));
    let start = now();
    let casting = spawn(cast_until(client.clone(), Arc::clone(&stop)));
    let latencies = spawn(caller(client.clone(), calls)).await.expect("a caller does not panic");
    stop.store(true, Ordering::Relaxed);
    let count = ALONE + casting.await.expect("a caster does not panic");
    let arrived = all_arrived(&client, count).await;
    let rate = (arrived - ALONE.min(arrived)) as f64 / start.elapsed().as_secs_f64();
    let megabytes_a_second = rate * BULK_BYTES as f64 / 1e6;
    Outcome {
        megabytes_a_second,
        part_of_unshared: megabytes_a_second / alone.megabytes_a_second,
        dropped: count - arrived,
        messages: count,
        ..percentiles(latencies)
    }
}

async fn cast_until(client: impl Client, stop: Arc<AtomicBool>) -> u64 {
    let body = Bytes::from(vec![7; BULK_BYTES]);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        client.cast(body.clone()).await;
        count += 1;
        if count % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    count
}

fn percentiles(mut latencies: Vec<f64>) -> Outcome {
    latencies.sort_by(f64::total_cmp);
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
    Outcome { p50_us: at(0.5), p99_us: at(0.99), ..Outcome::default() }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is a driver of its own")]
fn now() -> Instant {
    Instant::now()
}

/// The casts of a saturated link, and how many are measured before the calls begin.
const BULK_BYTES: usize = 1 << 20;
const ALONE: u64 = 400;
