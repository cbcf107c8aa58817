//! The message table: two processes on loopback, the mesh beside raw TCP, limit programs and its peers.
//!
//! Every contender answers the same: casts are counted, calls are echoed, the call `count` says how many casts came.
//! Each sample starts both processes anew. Every Rust contender runs on one worker thread a process, one of the two cores each.

mod contender;
mod drive;
mod erlang;
mod job;
mod limit;
mod nats;
mod ours;
mod pair;
mod process;
mod raw;
mod tables;
mod usage;

use crate::contender::Contender;
use crate::job::Job;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "receive", contender] => contender::receive(Contender::named(contender)),
        [_, "send", contender, job, address] => {
            contender::send(Contender::named(contender), Job::named(job), address);
        }
        _ => tables::all(),
    }
}
