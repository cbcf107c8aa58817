//! What settings a kernel can work by.

use std::time::Duration;

use thiserror::Error;
use tokio::sync::Semaphore;

use super::Limits;
use crate::proto::credit::{LINK_BYTES, WINDOW};

/// Why a kernel cannot work by its settings. They are named as the methods of [`Builder`](super::Builder) and their
/// parameters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting is less than what works.
    #[error("`{setting}` must be {least} or more")]
    Below {
        /// Which.
        setting: &'static str,
        /// The least there is, with its unit.
        least: &'static str,
    },
    /// A setting is more than what works.
    #[error("`{setting}` must be {most} or less")]
    Above {
        /// Which.
        setting: &'static str,
        /// The most there is, with its unit.
        most: &'static str,
    },
    /// A setting is more than another one, and cannot be.
    #[error("`{setting}` must not exceed `{bound}`")]
    Exceeds {
        /// The greater one.
        setting: &'static str,
        /// The one it has to be within.
        bound: &'static str,
    },
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_least()?;
        self.check_most()?;
        self.check_pairs()
    }

    fn check_least(&self) -> Result<(), ConfigError> {
        let counts = [
            ("message_bytes_max", self.message_bytes_max, 1, "1"),
            ("queue_bytes.soft", self.queue_bytes_soft, 1, "1"),
            ("control_frames_max", self.control_frames_max, 1, "1"),
            ("calls_max", self.calls_max, 1, "1"),
            ("handshakes.max", self.handshakes_max, 1, "1"),
            ("handshakes.per_host", self.handshakes_per_host_max, 1, "1"),
            ("sessions.max", self.sessions_max, 1, "1"),
            ("sessions.per_peer", self.sessions_per_peer_max, 2, "2"),
            ("dials", self.dials_max, 1, "1"),
        ];
        let times = [
            ("heartbeat.idle", self.heartbeat_idle, 20),
            ("heartbeat.busy", self.heartbeat_busy, 20),
            ("heartbeat.timeout", self.heartbeat_timeout, 1),
            ("write_stall", self.write_stall, 1),
            ("handshake_time.first", self.handshake_first, 1),
            ("probe", self.probe, 1),
            ("backoff.first", self.backoff_first, 1),
        ];
        for (setting, value, min, least) in counts {
            if value < min {
                return Err(ConfigError::Below { setting, least });
            }
        }
        for (setting, value, min_ms) in times {
            if value < Duration::from_millis(min_ms) {
                let least = if min_ms == 1 { "1 ms" } else { "20 ms" };
                return Err(ConfigError::Below { setting, least });
            }
        }
        Ok(())
    }

    fn check_most(&self) -> Result<(), ConfigError> {
        let window = usize::try_from(WINDOW.messages).unwrap_or(usize::MAX);
        let link = usize::try_from(LINK_BYTES).unwrap_or(usize::MAX);
        for (setting, value, max, most) in [
            ("message_bytes_max", self.message_bytes_max, MESSAGE_BYTES_MAX, "1 GiB"),
            ("offline_queue.messages", self.offline_messages_max, window, "4,096"),
            ("offline_queue.bytes", self.offline_bytes_max, link, "16 MiB"),
            ("sessions.max", self.sessions_max, Semaphore::MAX_PERMITS, "an eighth of what a `usize` holds"),
            ("dials", self.dials_max, Semaphore::MAX_PERMITS, "an eighth of what a `usize` holds"),
        ] {
            if value > max {
                return Err(ConfigError::Above { setting, most });
            }
        }
        Ok(())
    }

    fn check_pairs(&self) -> Result<(), ConfigError> {
        let message = self.message_bytes_max;
        for (setting, bound, exceeds) in [
            ("message_bytes_max", "reassembly_bytes_max", message > self.reassembly_bytes_max),
            ("message_bytes_max", "queue_bytes.max", message > self.queue_bytes_max),
            ("queue_bytes.soft", "queue_bytes.max", self.queue_bytes_soft > self.queue_bytes_max),
            ("offline_queue.bytes", "queue_bytes.max", self.offline_bytes_max > self.queue_bytes_max),
            ("handshake_time.first", "handshake_time.whole", self.handshake_first > self.handshake_whole),
            ("backoff.first", "backoff.max", self.backoff_first > self.backoff_max),
        ] {
            if exceeds {
                return Err(ConfigError::Exceeds { setting, bound });
            }
        }
        Ok(())
    }
}

/// A message is held whole in memory, at both ends.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::super::{Builder, Config};
    use super::*;
    use crate::node::NodeId;
    use crate::security::Insecure;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(set: impl FnOnce(Builder) -> Builder) -> String {
        let builder = Config::builder(NodeId::new("a").unwrap(), Insecure);
        set(builder).build().expect_err("a setting that cannot work").to_string()
    }

    #[test]
    fn the_defaults_work() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        let (zero, max) = (Duration::ZERO, usize::MAX);
        for (name, said) in [
            ("message_bytes_max", refused(|of| of.message_bytes_max(0))),
            ("queue_bytes.soft", refused(|of| of.queue_bytes(0, 8 << 20))),
            ("control_frames_max", refused(|of| of.control_frames_max(0))),
            ("calls_max", refused(|of| of.calls_max(0))),
            ("handshakes.max", refused(|of| of.handshakes(0, 1))),
            ("handshakes.per_host", refused(|of| of.handshakes(1, 0))),
            ("sessions.max", refused(|of| of.sessions(0, 2))),
            ("sessions.per_peer", refused(|of| of.sessions(2, 1))),
            ("dials", refused(|of| of.dials(0))),
            ("heartbeat.idle", refused(|of| of.heartbeat(zero, SECOND, SECOND))),
            ("heartbeat.busy", refused(|of| of.heartbeat(SECOND, SECOND / 100, SECOND))),
            ("heartbeat.timeout", refused(|of| of.heartbeat(SECOND, SECOND, zero))),
            ("write_stall", refused(|of| of.write_stall(zero))),
            ("handshake_time.first", refused(|of| of.handshake_time(zero, SECOND))),
            ("probe", refused(|of| of.probe(zero))),
            ("backoff.first", refused(|of| of.backoff(zero, SECOND))),
        ] {
            assert!(said.starts_with(&format!("`{name}` must be ")) && said.ends_with(" or more"), "{said}");
        }
        for (name, said) in [
            (
                "message_bytes_max",
                refused(|of| of.message_bytes_max((1 << 30) + 1).reassembly_bytes_max(max)),
            ),
            ("offline_queue.messages", refused(|of| of.offline_queue(4_097, 1, SECOND))),
            ("offline_queue.bytes", refused(|of| of.offline_queue(1, (16 << 20) + 1, SECOND))),
            ("sessions.max", refused(|of| of.sessions(max, 2))),
            ("dials", refused(|of| of.dials(max))),
        ] {
            assert!(said.starts_with(&format!("`{name}` must be ")) && said.ends_with("or less"), "{said}");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused_by_their_names() {
        for (setting, bound, said) in [
            ("message_bytes_max", "reassembly_bytes_max", refused(|of| of.reassembly_bytes_max(1 << 20))),
            ("message_bytes_max", "queue_bytes.max", refused(|of| of.queue_bytes(1 << 20, 2 << 20))),
            ("queue_bytes.soft", "queue_bytes.max", refused(|of| of.queue_bytes(9 << 20, 8 << 20))),
            (
                "offline_queue.bytes",
                "queue_bytes.max",
                refused(|of| of.offline_queue(4_096, (8 << 20) + 1, SECOND)),
            ),
            (
                "handshake_time.first",
                "handshake_time.whole",
                refused(|of| of.handshake_time(2 * SECOND, SECOND)),
            ),
            ("backoff.first", "backoff.max", refused(|of| of.backoff(2 * SECOND, SECOND))),
        ] {
            assert_eq!(said, format!("`{setting}` must not exceed `{bound}`"));
        }
    }

    #[test]
    fn nothing_may_wait_for_a_peer_that_is_away() {
        let config = Config::builder(NodeId::new("a").unwrap(), Insecure).offline_queue(0, 0, Duration::ZERO);
        assert!(config.build().is_ok());
    }
}
