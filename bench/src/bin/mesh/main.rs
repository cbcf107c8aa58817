//! A mesh at rest and in the making: many nodes that connect at once, what an idle session holds in memory, and a good
//! peer among a thousand clients that never finish their handshakes, and beside a peer that stands still; and many tasks that
//! cast to one node at once. All nodes are in this process, over loopback TCP, sealed.

mod casters;
mod forming;
mod idle;
mod nodes;
mod slow;
mod stuck;

use std::cell::RefCell;

use bench::{CountingAllocator, Measure, Report, Target};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() {
    let mut report = Report::from_args("mesh");
    for nodes in [10, 50] {
        let name = format!("{nodes} nodes connect at once to one session a pair");
        let mut measure = Measure::new(&name, "s");
        if nodes == 50 {
            measure = measure.target(Target::figure(1.5));
        }
        measure.contender("clusterluck", || nodes::run(forming::seconds(nodes)));
        report.run(measure);
    }
    let mut measure =
        Measure::new("heap of one end of an idle session", "bytes").target(Target::figure(16_384.0));
    measure.contender("clusterluck", || nodes::run(idle::bytes_per_end()));
    report.run(measure);
    let mut measure =
        Measure::new("a good peer connects among 1,000 slow clients", "s").target(Target::figure(1.0));
    measure.contender("clusterluck", || nodes::run(slow::seconds(1_000)));
    measure.contender("clusterluck, nobody else there", || nodes::run(slow::seconds(0)));
    report.run(measure);
    let heap = RefCell::new(Vec::new());
    let mut measure = Measure::new("calls to a good peer beside a stuck one: p99", "µs")
        .target(Target::ratio_to("clusterluck, nobody stuck", 1.2));
    measure.contender("clusterluck", || {
        let figures = nodes::run(stuck::figures(true));
        heap.borrow_mut().push(figures.heap_mb);
        figures.p99_us
    });
    measure.contender("clusterluck, nobody stuck", || nodes::run(stuck::figures(false)).p99_us);
    report.run(measure);
    if let Some(most) = heap.borrow().iter().copied().max_by(f64::total_cmp) {
        // A full queue (8 MiB), and at both ends of the connection what the largest message of the load adds.
        let mut measure =
            Measure::new("heap of what waits for a stuck peer", "MB").target(Target::figure(12.0));
        measure.constant("clusterluck", most);
        report.run(measure);
    }
    let mut measure = Measure::new("64 KiB casts of many tasks", "MB/s")
        .higher_is_better()
        .target(Target::ratio_to("clusterluck, of one task", 0.8));
    measure.contender("clusterluck, of 1,000 tasks", || nodes::run(casters::megabytes_a_second(1_000)));
    measure.contender("clusterluck, of 8,000 tasks", || nodes::run(casters::megabytes_a_second(8_000)));
    measure.contender("clusterluck, of one task", || nodes::run(casters::megabytes_a_second(1)));
    report.run(measure);
    report.finish().expect("the report is written");
}
