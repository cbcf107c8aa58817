//! Measures contenders side by side and says who won by how much.
//!
//! ```no_run
//! use bench::{Measure, Report, Target, ns_per_op};
//!
//! let mut report = Report::from_args("sums");
//! let numbers: Vec<u64> = (0..1_000).collect();
//! let mut measure = Measure::new("sum of 1,000", "ns").target(Target::ratio_to("fold", 1.1));
//! measure.contender("sum", ns_per_op(|n| for _ in 0..n {
//!     std::hint::black_box(numbers.iter().sum::<u64>());
//! }));
//! measure.contender("fold", ns_per_op(|n| for _ in 0..n {
//!     std::hint::black_box(numbers.iter().fold(0, |a, b| a + b));
//! }));
//! report.run(measure);
//! report.finish().expect("the report is written");
//! ```
//!
//! A [`Measure`] is one figure of several contenders, its first contender ours. The rounds are interleaved
//! (A B A B …), so a machine that slows down slows everyone; the figure is the median of the rounds, and the
//! ratio is the median of the rounds' own ratios, which cancels drift a second time. A [`Report`] prints Markdown
//! as it goes and writes the same as JSON to `--json PATH`, or else to `target/<name>.json`.
//!
//! Arguments of every binary: `--json PATH`, `--rounds N` (default 7, at least 5), `--only TEXT` (measures whose
//! name contains it), `--contender TEXT` (ours, and contenders whose name contains it).
//!
//! - [`measure`](Measure): contenders and targets
//! - [`report`](Report): arguments, rounds, output
//! - [`clock`](ns_per_op): ways to turn a closure into a sample
//! - [`instructions`](instructions_per_op): counted by callgrind, for a busy machine
//! - [`memory`](CountingAllocator): live and peak heap bytes, for a binary that installs the allocator
//! - [`resident`](resident_bytes_per_item): memory as the system sees it

mod clock;
mod instructions;
mod measure;
mod memory;
mod report;
mod resident;

pub use clock::{consume, ns_per_op, ns_per_op_with_setup, seconds};
pub use instructions::{counting_job, instructions_per_op};
pub use measure::{Better, Measure, Target};
pub use memory::{CountingAllocator, Heap};
pub use report::Report;
pub use resident::{report_resident_bytes, resident_bytes_per_item};
