//! Membership that loses nothing: a causal member map replicated by gossip, and the ring derived from it.

mod clock;
mod config;
mod driver;
mod error;
mod event;
mod handle;
mod inbox;
pub mod message;
pub mod proto;
mod publisher;
mod ring_name;
#[cfg(feature = "sim")]
pub mod sim;
mod store;
mod view;

pub use config::{Builder, Config, ConfigError};
pub use error::{
    AnnounceError, InsertError, JoinError, LeaveError, MeetError, PropagationError, RemoveError, StartError,
    Unavailable, UpdateError,
};
pub use event::{Cause, Event};
pub use handle::{Events, Gossip, MissedEvents, ShutdownError, Views, server_name};
pub use message::{FrameError, InviteRefusal};
pub use proto::{Affiliation, Insertion, Operation, Reach, Standing};
pub use ring_name::{RingName, RingNameError};
pub use store::{FileStore, MemoryStore, Store, StoreError};
pub use view::{Member, RingMember, Status, View};
