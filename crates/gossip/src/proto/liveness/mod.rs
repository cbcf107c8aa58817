//! Who is alive: a failure detector that suspects slowly and tells fast, as a pure machine.
//!
//! SWIM (Das, Gupta and Motivala, *SWIM: Scalable Weakly-consistent Infection-style Process Group Membership
//! Protocol*, 2002) with the extensions of Lifeguard (Dadgar, Phillips and Currey, *Lifeguard: SWIM-ing with
//! Situational Awareness*, 2017), over sessions that exist anyway:
//!
//! ```text
//!   a            b            c, d, e                  everyone
//!   │ Ping       │               │
//!   ├───────────▶│ (no Ack within 500 ms)
//!   │ PingReq b  │               │
//!   ├────────────┼──────────────▶│ Ping ──▶ b          …no Ack by the end of the second:
//!   │◀───────────┼───────────────┤ Nack: "I am fine, b is not"
//!   │ Suspect b, by a ─────────────────────────────────▶ a timer starts; each that found the same itself
//!   │                                                    shortens it, b may refute: Alive, counter + 1
//!   │ Down b ──────────────────────────────────────────▶ …until the timer ends
//! ```
//!
//! What is known of others rides on every message and, while it is news, on messages of its own; each question repeats
//! one member that is down, so that whoever missed the news learns of it, or puts it right. A node whose session
//! closed and whose port refuses is down at once if two saw it. Down members are asked on: they may be behind a
//! partition that heals.
//!
//! Nothing here edits the roster. [`RemovalPolicy`] says whether anything follows from a member being down.

mod detector;
mod health;
mod news;
mod outage;
mod pace;
mod peers;
mod policy;
mod probing;
mod refuting;
mod repair;
mod rounds;
mod signal;
mod suspicion;
mod swim;

pub use detector::{Detector, FailureDetector, Input, Liveness, NoDetector, Output};
pub(crate) use outage::Outages;
pub use pace::{Pace, PaceError};
pub use policy::{Absent, Never, Outage, RemovalPolicy, RemoveAfter};
pub use signal::{Claim, Report, Signal, Talk};
pub use swim::Swim;
