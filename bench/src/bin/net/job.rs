//! What is measured, and what comes of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// So many casts of so many bytes.
    Casts { count: u64, bytes: usize },
    /// So many callers, each making so many calls in turn.
    Calls { callers: usize, each: usize },
    /// One caller's small calls to one server while 1 MiB casts to another saturate the link.
    Saturated { calls: usize },
}

pub const JOBS: [(&str, Job); 6] = [
    ("casts-64", Job::Casts { count: 2_000_000, bytes: 64 }),
    ("casts-64k", Job::Casts { count: 20_000, bytes: 64 << 10 }),
    ("casts-1m", Job::Casts { count: 1_500, bytes: 1 << 20 }),
    ("calls-1", Job::Calls { callers: 1, each: 15_000 }),
    ("calls-64", Job::Calls { callers: 64, each: 4_000 }),
    ("saturated", Job::Saturated { calls: 4_000 }),
];

impl Job {
    pub fn named(name: &str) -> Self {
        let found = JOBS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("no job is named {name}")).1
    }

    /// A contender that is a hundred times slower is given less to do.
    pub fn scaled(self, divisor: u64) -> Self {
        match self {
            Self::Casts { count, bytes } => Self::Casts { count: (count / divisor).max(100), bytes },
            Self::Calls { callers, each } => Self::Calls { callers, each: (each / divisor as usize).max(50) },
            Self::Saturated { calls } => Self::Saturated { calls: (calls / divisor as usize).max(50) },
        }
    }
}

/// What a sender reports.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Messages a second, as they arrived.
    pub rate: f64,
    pub megabytes_a_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// Of the throughput of casts alone, measured just before, how much is left beside calls.
    #[serde(default)]
    pub part_of_unshared: f64,
    pub dropped: u64,
    /// Processor time of this process, and of the receiver once it is added, for each message.
    pub cpu_us: f64,
    pub sender_peak_mb: f64,
    #[serde(default)]
    pub receiver_peak_mb: f64,
    pub messages: u64,
}

/// What a receiver reports at its end.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    pub cpu_us: f64,
    pub peak_mb: f64,
}

/// Longer than any job takes; a contender that loses messages ends here.
pub const PATIENCE: Duration = Duration::from_secs(20);
