//! The pure core: the membership of one node as a state machine without clock, disk, network or randomness.
//!
//! [`Machine`] takes events and the time ([`Input`], [`Now`]) and gives [`Action`]s and a deadline. The driver
//! behind [`Gossip`](crate::Gossip) carries these out with a real network and disk, the simulator of the feature
//! `sim` with seeded ones; a test can do so by hand. Everything here follows the version of the crate, but it is
//! made for embedding and testing the protocol: applications use [`Gossip`](crate::Gossip).
//!
//! ```text
//!            frames, sessions, commands, stored, time
//!                            │
//!   ┌────────────────────────▼───────────────────────────┐
//!   │ machine   frames    judge the sender, merge, answer│
//!   │           membership  meet, invite, leave, evict   │
//!   │           asked, drafts   what a local write means │
//!   │           writing     on disk before it is told    │
//!   │           detecting   who is alive, what follows   │
//!   ├────────────────────────────────────────────────────┤
//!   │ roster    entry, record   the causal member map    │
//!   │ rumours   links   operations   identity   stamps   │
//!   │ liveness  the failure detector, its policies       │
//!   └────────────────────────┬───────────────────────────┘
//!                            ▼
//!        send, connect, dial, store, emit, publish, complete
//! ```

mod affiliation;
mod allowance;
mod asked;
mod capacity;
mod circle;
mod commands;
mod detecting;
mod drafts;
mod duplicates;
mod entry;
mod floor;
mod frames;
mod hash;
mod identity;
mod image;
#[cfg(test)]
mod laws;
mod links;
pub mod liveness;
mod machine;
mod meeting;
mod membership;
mod merging;
mod operations;
mod ports;
mod random;
mod reading;
mod record;
mod retirement;
mod roster;
mod rules;
mod rumour;
mod seen;
mod settings;
#[cfg(feature = "sim")]
mod settled;
mod settling;
mod stability;
mod stamp;
mod stored;
mod time;
mod writing;

pub use affiliation::Affiliation;
pub use floor::Floor;
pub use hash::Hash;
pub use image::{Image, ImageError};
pub use machine::Machine;
pub use operations::{Command, Insertion, Operation, Outcome, Reach, Token};
pub use ports::{Action, DialError, DialId, ImageId, Input, Stats};
pub use random::Random;
pub use record::{
    Actor, Context, Dot, Ended, Fact, Membership, OwnRecord, OwnVersion, Protocols, Record, Standing,
    Version, Versions, What,
};
pub(crate) use record::{RECORD_BYTES_MAX, TAG_BYTES_MAX, ZONE_BYTES_MAX, tag_bytes};
pub use roster::Digest;
pub use rules::Rule;
pub use settings::Settings;
#[cfg(feature = "sim")]
pub(crate) use settled::Calm;
pub use stability::Overdue;
pub use stamp::Stamp;
pub use time::Now;
