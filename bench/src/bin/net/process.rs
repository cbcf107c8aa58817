//! The two processes of a contender.

use std::future::Future;
use std::io::{Read, Write};

use crate::job::{Outcome, PATIENCE, Usage};
use crate::{drive, usage};

/// The sending process: prints what the load gave.
pub fn send(load: impl Future<Output = Outcome> + Send + 'static) {
    let load = async { tokio::time::timeout(2 * PATIENCE, load).await.expect("no call is lost") };
    // In a task: from `block_on` itself every wake-up would pay a hop between threads.
    let outcome = runtime().block_on(async { drive::spawn(load).await.expect("the sender does not panic") });
    println!("{}", serde_json::to_string(&outcome).expect("plain figures always encode"));
}

/// The receiving process: says where it is, serves until its input ends, and says what it used.
pub fn receive(serve: impl Future<Output = String> + Send + 'static) {
    let runtime = runtime();
    let address = runtime.block_on(async { drive::spawn(serve).await.expect("the receiver does not panic") });
    let before = usage::of_this_process();
    println!("{address}");
    std::io::stdout().flush().expect("the output is open");
    let _end = std::io::stdin().read(&mut [0]);
    let after = usage::of_this_process();
    let usage = Usage { cpu_us: after.cpu_us - before.cpu_us, peak_mb: after.peak_mb };
    println!("{}", serde_json::to_string(&usage).expect("plain figures always encode"));
    std::process::exit(0);
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(WORKERS).enable_all().build().expect("a runtime starts")
}

/// Worker threads of each process: one of the two cores each.
const WORKERS: usize = 1;
