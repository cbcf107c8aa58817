//! The gen_server tables: messages within a node and between nodes, starts and stops, memory.
//!
//! Every figure is taken from tasks of a runtime with two workers, never from `block_on`, which pays a thread hop for
//! each wake whatever is called. Each contender is used as its own documentation shows first. Erlang is measured where
//! `erl` and `erlc` are installed.

mod erlang;
mod kameo;
mod local;
mod network;
mod ours;
mod ractor;

use bench::{Measure, Report, Target};
use tokio::runtime::Runtime;

use crate::erlang::Erlang;

fn main() {
    if let Some((contender, servers)) = bench::counting_job() {
        return idle(&contender, servers);
    }
    let mut report = Report::from_args("actors");
    let runtime = runtime(2);
    let mut erlang = Erlang::start();
    if erlang.is_none() {
        report.note("Erlang is missing: `erl` and `erlc` are not installed (Debian: erlang-base).");
    }
    one_caller(&mut report, &runtime, erlang.as_mut());
    many_callers(&mut report, &runtime, erlang.as_mut());
    casts(&mut report, &runtime, erlang.as_mut());
    lives(&mut report, &runtime, erlang.as_mut());
    memory(&mut report);
    network::measure(&mut report);
    report.finish().expect("the report is written");
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(workers).enable_all().build().expect("a runtime")
}

const OURS: &str = "genserver";
const RACTOR: &str = "ractor";
const KAMEO: &str = "kameo";
const KAMEO_UNBOUNDED: &str = "kameo, unbounded";
const ERLANG: &str = "Erlang";

fn one_caller(report: &mut Report, runtime: &Runtime, erlang: Option<&mut Erlang>) {
    let mut measure = Measure::new("local call, one caller", "ns");
    measure.contender(OURS, || local::one_caller::<ours::Counter>(runtime));
    measure.contender(RACTOR, || local::one_caller::<ractor::Counter>(runtime));
    measure.contender(KAMEO, || local::one_caller::<kameo::Counter>(runtime));
    measure.contender(KAMEO_UNBOUNDED, || local::one_caller::<kameo::Unbounded>(runtime));
    if let Some(erlang) = erlang {
        measure.contender(ERLANG, || erlang.one_caller());
        measure = measure.target(Target::ratio_to(ERLANG, 0.35));
    }
    report.run(measure);
}

fn many_callers(report: &mut Report, runtime: &Runtime, erlang: Option<&mut Erlang>) {
    let mut measure = beside_all("local call, 64 callers", erlang.is_some());
    measure.contender(OURS, || local::many_callers::<ours::Counter>(runtime));
    measure.contender(RACTOR, || local::many_callers::<ractor::Counter>(runtime));
    measure.contender(KAMEO, || local::many_callers::<kameo::Counter>(runtime));
    measure.contender(KAMEO_UNBOUNDED, || local::many_callers::<kameo::Unbounded>(runtime));
    if let Some(erlang) = erlang {
        measure.contender(ERLANG, || erlang.many_callers());
    }
    report.run(measure);
}

fn casts(report: &mut Report, runtime: &Runtime, erlang: Option<&mut Erlang>) {
    let mut measure = beside_all("local casts, one sender", erlang.is_some());
    measure.contender(OURS, || local::casts::<ours::Counter>(runtime));
    measure.contender(RACTOR, || local::casts::<ractor::Counter>(runtime));
    measure.contender(KAMEO, || local::casts::<kameo::Counter>(runtime));
    measure.contender(KAMEO_UNBOUNDED, || local::casts::<kameo::Unbounded>(runtime));
    if let Some(erlang) = erlang {
        measure.contender(ERLANG, || erlang.casts());
    }
    report.run(measure);
}

/// A measure of messages a second that wants half as many again as the best of all.
fn beside_all(name: &str, erlang: bool) -> Measure<'static> {
    let peers = [RACTOR, KAMEO, KAMEO_UNBOUNDED].into_iter().chain(erlang.then_some(ERLANG));
    let measure = Measure::new(name, "M/s").higher_is_better();
    peers.fold(measure, |measure, peer| measure.target(Target::ratio_to(peer, 1.5)))
}

fn lives(report: &mut Report, runtime: &Runtime, erlang: Option<&mut Erlang>) {
    let mut measure = Measure::new("100,000 servers started and stopped", "s").target(Target::figure(2.0));
    measure.contender(OURS, || local::lives::<ours::Counter>(runtime));
    measure.contender(RACTOR, || local::lives::<ractor::Counter>(runtime));
    measure.contender(KAMEO, || local::lives::<kameo::Counter>(runtime));
    if let Some(erlang) = erlang {
        measure.contender(ERLANG, || erlang.lives());
    }
    report.run(measure);
}

/// What an idle server adds to the process, measured in a process of its own.
fn memory(report: &mut Report) {
    let mut measure = Measure::new("memory of an idle server", "bytes").target(Target::figure(2_048.0));
    if !report.wants("memory of an idle server") {
        return;
    }
    for contender in [OURS, RACTOR, KAMEO] {
        measure.constant(contender, bench::resident_bytes_per_item(contender));
    }
    report.run(measure);
}

/// Starts so many servers of a contender and leaves them alone: what [`memory`] weighs.
fn idle(contender: &str, servers: u64) {
    let runtime = runtime(2);
    match contender {
        OURS => local::idle::<ours::Counter>(&runtime, servers),
        RACTOR => local::idle::<ractor::Counter>(&runtime, servers),
        KAMEO => local::idle::<kameo::Counter>(&runtime, servers),
        _ => panic!("no contender is named {contender}"),
    }
}
