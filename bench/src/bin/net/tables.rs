//! The tables, each figure from runs of its own.

use std::cell::RefCell;

use bench::{Measure, Report, Target};

use crate::contender::{self, ALL, Contender};
use crate::job::{JOBS, Job, Outcome};

type Column = (&'static str, &'static str, bool, fn(&Outcome) -> f64);

const THOUSANDS: Column = ("rate", "k/s", true, |outcome| outcome.rate / 1e3);
const MILLIONS: Column = ("rate", "M/s", true, |outcome| outcome.rate / 1e6);
const MEGABYTES: Column = ("throughput", "MB/s", true, |outcome| outcome.megabytes_a_second);
const P50: Column = ("p50", "µs", false, |outcome| outcome.p50_us);
const P99: Column = ("p99", "µs", false, |outcome| outcome.p99_us);
const SHARED: Column =
    ("throughput beside calls, of that without", "part", true, |outcome| outcome.part_of_unshared);
const CPU: Column = ("CPU at both ends, a message", "µs", false, |outcome| outcome.cpu_us);
const SENDER: Column = ("peak memory of the sender", "MB", false, |outcome| outcome.sender_peak_mb);
const RECEIVER: Column = ("peak memory of the receiver", "MB", false, |outcome| outcome.receiver_peak_mb);
const DROPPED: Column = ("messages dropped", "messages", false, |outcome| outcome.dropped as f64);

pub fn all() {
    let mut report = Report::from_args("net");
    for contender in ALL {
        if let Some(missing) = contender.missing() {
            report.note(&format!("{} is not measured: {missing} is not installed.", contender.name()));
        }
    }
    for (name, job) in JOBS {
        one(&mut report, name, job);
    }
    report.finish().expect("the report is written");
}

/// The first column is what is sampled, and says which contender failed; the others show medians of the same runs.
fn one(report: &mut Report, name: &'static str, job: Job) {
    let (first, others): (Column, &[Column]) = match job {
        Job::Casts { bytes: 64, .. } => (MILLIONS, &[CPU, SENDER, RECEIVER, DROPPED]),
        Job::Casts { .. } => (MEGABYTES, &[CPU, SENDER, RECEIVER, DROPPED]),
        Job::Calls { .. } => (P50, &[THOUSANDS, P99]),
        Job::Saturated { .. } => (P50, &[P99, SHARED, MEGABYTES, SENDER, RECEIVER, DROPPED]),
    };
    let contenders: Vec<Contender> =
        ALL.into_iter().filter(|contender| contender.missing().is_none() && contender.takes(job)).collect();
    let outcomes: Vec<RefCell<Vec<Outcome>>> = contenders.iter().map(|_| RefCell::default()).collect();
    let title = |column: &Column| format!("{name}: {}", column.0);
    if !report.wants(&title(&first)) {
        return;
    }
    let mut measure = new_measure(&title(&first), &first);
    for target in targets(name, first.0) {
        measure = measure.target(target);
    }
    for (contender, outcomes) in contenders.iter().zip(&outcomes) {
        measure.peer(contender.name(), || {
            let outcome =
                contender::measure(*contender, name, job).inspect_err(|_| outcomes.borrow_mut().clear())?;
            let figure = first.3(&outcome);
            outcomes.borrow_mut().push(outcome);
            Ok(figure)
        });
    }
    report.run(measure);
    for column in others {
        let mut measure = new_measure(&title(column), column);
        for target in targets(name, column.0) {
            measure = measure.target(target);
        }
        for (contender, outcomes) in contenders.iter().zip(&outcomes) {
            let mut figures: Vec<f64> = outcomes.borrow().iter().map(column.3).collect();
            figures.sort_by(f64::total_cmp);
            if let Some(median) = figures.get(figures.len() / 2) {
                measure.constant(contender.name(), *median);
            }
        }
        report.run(measure);
    }
}

fn new_measure(title: &str, column: &Column) -> Measure<'static> {
    let measure = Measure::new(title, column.1);
    if column.2 { measure.higher_is_better() } else { measure }
}

/// What the project wants of its first contender.
fn targets(job: &str, column: &str) -> Vec<Target> {
    let ratio = |to: Contender, ratio| Target::ratio_to(to.name(), ratio);
    use Contender::{Erlang, Nats, Ractor, Raw, SealedLimit};
    match (job, column) {
        ("casts-64", "rate") => vec![ratio(Erlang, 8.0), ratio(Ractor, 10.0), ratio(Nats, 1.6)],
        ("casts-64", "CPU at both ends, a message") => vec![Target::figure(0.6)],
        ("casts-64", "peak memory of the sender" | "peak memory of the receiver") => {
            vec![Target::figure(32.0)]
        }
        ("casts-64k" | "casts-1m", "throughput") => vec![ratio(SealedLimit, 0.85), ratio(Ractor, 1.0)],
        ("calls-1", "p50") => vec![ratio(Erlang, 0.95), ratio(Raw, 1.1)],
        ("calls-64", "rate") => vec![ratio(Erlang, 5.0), ratio(Ractor, 2.8), ratio(Nats, 2.0)],
        ("saturated", "p50") => vec![Target::figure(200.0)],
        ("saturated", "p99") => vec![Target::figure(3_000.0)],
        ("saturated", "throughput beside calls, of that without") => vec![Target::figure(0.8)],
        (_, "messages dropped") => vec![Target::figure(0.0)],
        _ => Vec::new(),
    }
}
