//! What is measured within a node, of any contender.

use std::future::Future;

use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A server that counts. Called, it answers the count; a cast adds to it.
pub(crate) trait Server: Clone + Send + Sync + 'static {
    fn start() -> impl Future<Output = Self> + Send;
    fn call(&self) -> impl Future<Output = u64> + Send;
    fn cast(&self) -> impl Future<Output = ()> + Send;
    /// Stops it and waits for its end.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// Runs a task on the runtime's workers.
pub(crate) fn run<T: Send + 'static>(runtime: &Runtime, task: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(runtime.spawn(task)).expect("the measurement ends")
}

/// Nanoseconds for a call: the median of many short batches.
pub(crate) fn one_caller<S: Server>(runtime: &Runtime) -> f64 {
    run(runtime, async {
        let server = S::start().await;
        let mut batches = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let began = Instant::now();
            for _ in 0..BATCH {
                bench::consume(server.call().await);
            }
            batches.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH));
        }
        server.stop().await;
        batches.sort_by(f64::total_cmp);
        batches[BATCHES / 2]
    })
}

/// Millions of calls a second, of 64 callers at once.
pub(crate) fn many_callers<S: Server>(runtime: &Runtime) -> f64 {
    run(runtime, async {
        let server = S::start().await;
        let began = Instant::now();
        let callers = (0..CALLERS).map(|_| {
            let server = server.clone();
            async move {
                for _ in 0..CALLS_EACH {
                    bench::consume(server.call().await);
                }
            }
        });
        JoinSet::from_iter(callers).join_all().await;
        let took = began.elapsed().as_secs_f64();
        server.stop().await;
        f64::from(CALLERS * CALLS_EACH) / took / 1e6
    })
}

/// Millions of casts a second, until the last is handled.
pub(crate) fn casts<S: Server>(runtime: &Runtime) -> f64 {
    run(runtime, async {
        let server = S::start().await;
        let began = Instant::now();
        for _ in 0..CASTS {
            server.cast().await;
        }
        let counted = server.call().await;
        let took = began.elapsed().as_secs_f64();
        server.stop().await;
        assert_eq!(counted, u64::from(CASTS), "no cast is lost");
        f64::from(CASTS) / took / 1e6
    })
}

/// Seconds to start so many servers, all alive at once, and to stop them.
pub(crate) fn lives<S: Server>(runtime: &Runtime) -> f64 {
    run(runtime, async {
        let began = Instant::now();
        let mut servers = Vec::with_capacity(SERVERS);
        for _ in 0..SERVERS {
            servers.push(S::start().await);
        }
        for server in servers {
            server.stop().await;
        }
        began.elapsed().as_secs_f64()
    })
}

/// Starts so many servers, then weighs the process with them.
pub(crate) fn idle<S: Server>(runtime: &Runtime, servers: u64) {
    let servers = run(runtime, async move {
        let mut started = Vec::new();
        for _ in 0..servers {
            started.push(S::start().await);
        }
        started
    });
    bench::report_resident_bytes();
    drop(servers);
}

const BATCH: u32 = 1_000;
const BATCHES: usize = 200;
const CALLERS: u32 = 64;
const CALLS_EACH: u32 = 10_000;
const CASTS: u32 = 1_000_000;
const SERVERS: usize = 100_000;
