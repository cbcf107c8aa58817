//! What was measured.

use std::time::Duration;

use serde_json::{Value, json};

use super::load::Tally;
use crate::render::text::{STRONG, count, time};

/// The figures of one run.
pub(super) struct Figures {
    /// From the first meeting until all five nodes placed keys alike.
    pub(super) agree: Duration,
    /// Calls one after another while all was well.
    pub(super) calm: Tally,
    /// Calls of all callers, from before the kill until after the return.
    pub(super) load: Tally,
    /// From the kill until a replica answered for the dead node.
    pub(super) takeover: Duration,
    /// From the kill until every other node had seen it.
    pub(super) noticed: Duration,
    /// From the start of the new process until it answered for its keys.
    pub(super) back: Duration,
    /// From the cut until neither side was connected to the other.
    pub(super) parted: Duration,
    /// From the healing until all had what either side had changed.
    pub(super) merged: Duration,
    /// From beginning to end.
    pub(super) whole: Duration,
}

impl Figures {
    /// The figures for programs, times in microseconds.
    pub(super) fn document(&self) -> Value {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        json!({
            "agree_us": micros(self.agree),
            "calls": self.calls(),
            "latency_median_us": micros(self.calm.quantile(0.5)),
            "latency_p99_us": micros(self.calm.quantile(0.99)),
            "takeover_us": micros(self.takeover),
            "noticed_us": micros(self.noticed),
            "longest_call_us": micros(self.load.quantile(1.0)),
            "answered_by_replica": self.by_replica(),
            "lost": self.load.lost.len(),
            "return_us": micros(self.back),
            "parted_us": micros(self.parted),
            "merged_us": micros(self.merged),
            "whole_us": micros(self.whole),
        })
    }

    /// The figures for people.
    pub(super) fn text(&self) -> String {
        let latency = format!("{}, {}", time(self.calm.quantile(0.5)), time(self.calm.quantile(0.99)));
        let lines = [
            ("five nodes agree on a ring after", time(self.agree)),
            ("a call to another node takes (median, 99 %)", latency),
            ("a replica answers for a killed node after", time(self.takeover)),
            ("all nodes know that it is gone after", time(self.noticed)),
            ("the longest a caller waited meanwhile", time(self.load.quantile(1.0))),
            ("started again, it answers for its keys after", time(self.back)),
            ("after a partition, all have both sides' changes in", time(self.merged)),
            (
                "calls made, answered by a replica, lost",
                format!("{}, {}, {}", count(self.calls()), count(self.by_replica()), self.load.lost.len()),
            ),
            ("the whole demo", time(self.whole)),
        ];
        let mut text = "\n".to_owned();
        for (what, figure) in lines {
            text.push_str(&format!("  {what:<51} {STRONG}{figure}{STRONG:#}\n"));
        }
        text
    }

    fn by_replica(&self) -> u64 {
        self.load.by_replica.values().sum()
    }

    fn calls(&self) -> u64 {
        let load = self.load.times.len() + self.load.lost.len();
        (self.calm.times.len() + load) as u64
    }
}
