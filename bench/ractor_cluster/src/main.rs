//! The two processes of ractor_cluster in the message table: `receive`, and `send <job> <address>`.

#[path = "../../src/bin/net/drive.rs"]
mod drive;
#[path = "../../src/bin/net/job.rs"]
mod job;
#[path = "../../src/bin/net/process.rs"]
mod process;
mod ractor;
#[path = "../../src/bin/net/usage.rs"]
mod usage;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "receive", _] => process::receive(ractor::serve()),
        [_, "send", _, job, address] => {
            let (job, address) = (job::Job::named(job).scaled(5), address.to_owned());
            process::send(async move { drive::run(ractor::connect(&address).await, job).await });
        }
        _ => panic!("`cargo xtask bench net` starts this program"),
    }
}
