//! The two processes of kameo in the message table: `receive`, and `send <job> <address>`.

#[path = "../../src/bin/net/drive.rs"]
mod drive;
#[path = "../../src/bin/net/job.rs"]
mod job;
#[path = "../../src/bin/net/process.rs"]
mod process;
mod remote;
#[path = "../../src/bin/net/usage.rs"]
mod usage;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "receive", _] => process::receive(remote::serve()),
        [_, "send", _, job, address] => {
            let (job, address) = (job::Job::named(job).scaled(divisor(job)), address.to_owned());
            process::send(async move { drive::run(remote::connect(&address).await, job).await });
        }
        _ => panic!("`cargo xtask bench net` starts this program"),
    }
}

/// How many times less it is given to do, so that a sample takes about a second.
fn divisor(job: &str) -> u64 {
    match job {
        "casts-64" => 100,
        "calls-1" => 3,
        "saturated" => 80,
        _ => 10,
    }
}
