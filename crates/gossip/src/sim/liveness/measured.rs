//! What a trial came to.

/// What a trial came to.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// How long the cluster was watched while nobody was frozen, in virtual milliseconds.
    pub calm_ms: u64,
    /// How often, in that time, somebody began to suspect a node that ran.
    pub false_suspicions: u64,
    /// How often, in that time, a node that ran was said to be down, by however many.
    pub false_downs: u64,
    /// Those of them that concern slow nodes.
    pub false_downs_of_slow: u64,
    /// Pauses of 1 to 10 s.
    pub pauses: u64,
    /// How often a node that paused was said to be down meanwhile.
    pub downs_in_pauses: u64,
    /// Members a policy would have removed.
    pub removals: u64,
    /// Connections that broke.
    pub resets: u64,
    /// Messages that did not fit into an inbox.
    pub overflows: u64,
    /// Messages of the calm time.
    pub messages: u64,
    /// Their bytes, as gossip frames.
    pub bytes: u64,
    /// From each freeze until every other node knew, in milliseconds.
    pub known_ms: Vec<u64>,
    /// From each thaw until every other node knew, in milliseconds.
    pub back_ms: Vec<u64>,
    /// Freezes that not all had seen after two minutes, or forgotten two minutes after the thaw.
    pub missed: u64,
}

impl Measured {
    /// The mean time from a freeze until all know.
    #[must_use]
    pub fn known_mean_ms(&self) -> f64 {
        self.known_ms.iter().sum::<u64>() as f64 / self.known_ms.len().max(1) as f64
    }

    /// The time within which all knew of so many freezes in a hundred.
    #[must_use]
    pub fn known_percentile_ms(&self, percent: usize) -> u64 {
        percentile(&self.known_ms, percent)
    }

    /// The time within which all knew of so many thaws in a hundred.
    #[must_use]
    pub fn back_percentile_ms(&self, percent: usize) -> u64 {
        percentile(&self.back_ms, percent)
    }

    /// Bytes one node sent in a calm second.
    #[must_use]
    pub fn bytes_a_node_a_second(&self, nodes: usize) -> f64 {
        self.bytes as f64 / nodes.max(1) as f64 / (self.calm_ms.max(1) as f64 / 1_000.0)
    }

    /// Takes another trial's results in.
    pub fn add(&mut self, other: Self) {
        self.calm_ms += other.calm_ms;
        self.false_suspicions += other.false_suspicions;
        self.false_downs += other.false_downs;
        self.false_downs_of_slow += other.false_downs_of_slow;
        self.pauses += other.pauses;
        self.downs_in_pauses += other.downs_in_pauses;
        self.removals += other.removals;
        self.resets += other.resets;
        self.overflows += other.overflows;
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.known_ms.extend(other.known_ms);
        self.back_ms.extend(other.back_ms);
        self.missed += other.missed;
    }
}

fn percentile(times_ms: &[u64], percent: usize) -> u64 {
    let mut sorted = times_ms.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}
