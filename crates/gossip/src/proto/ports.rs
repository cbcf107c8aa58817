//! What goes into a machine and what comes out of it.

use bytes::Bytes;
use netkernel::{Address, Incarnation, NodeId};

use crate::event::{Cause, Event};

use super::image::Image;
use super::operations::{Command, Outcome, Token};

/// Something that happened outside.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// A node sent this over its session.
    Frame {
        /// The sender, as the session proved it.
        from: NodeId,
        /// The frame.
        bytes: Bytes,
    },
    /// A session to the node is up.
    Up {
        /// The node.
        id: NodeId,
    },
    /// The node has no session any more.
    Down {
        /// The node.
        id: NodeId,
    },
    /// Nobody listens where the node should be.
    Refused {
        /// The node.
        id: NodeId,
    },
    /// Another node refused this one because a live node has its id.
    RefusedAsDuplicate {
        /// The incarnation known there.
        incumbent: Incarnation,
    },
    /// A dial ended.
    Dialed {
        /// Which.
        dial: DialId,
        /// Who answered.
        result: Result<NodeId, DialError>,
    },
    /// An image was written, or was not.
    Stored {
        /// Which.
        image: ImageId,
        /// Why it was not.
        result: Result<(), String>,
    },
    /// Someone on this node wants something.
    Command {
        /// Comes back with the outcome.
        token: Token,
        /// What.
        command: Command,
    },
}

/// Why a dial gave no session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialError {
    /// The address is this very node's.
    Myself,
    /// A live node of this node's id answers there.
    Duplicate,
    /// Another node than the one expected answers there: to ask again would change nothing.
    OtherNode {
        /// Which.
        found: NodeId,
    },
    /// Nobody, or nobody this node may talk to.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// Names a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub(crate) u64);

/// Names a write of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(pub(crate) u64);

/// Something to do outside, in the order given.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// Send a frame; if it cannot be sent at once, drop it: the protocol repairs that.
    Send {
        /// To whom.
        to: NodeId,
        /// The frame.
        bytes: Bytes,
        /// Whether it is to go ahead of all that waits for the node: its delay would be taken for a failure.
        ahead: bool,
    },
    /// Keep a session to the node from now on.
    Connect {
        /// The node.
        id: NodeId,
        /// Where it is.
        address: Address,
    },
    /// End the session.
    Disconnect {
        /// The node.
        id: NodeId,
        /// Whether what waits is sent first.
        drain: bool,
    },
    /// Find out whether the session with the node is alive, and end it if it is not: no other takes its place before.
    Doubt {
        /// The node.
        id: NodeId,
    },
    /// Make sure that every session the machine wishes for is being kept, and tell of those that came or went
    /// unnoticed.
    Reconcile,
    /// Find out who answers at an address, and tell by [`Input::Dialed`].
    Dial {
        /// Which dial this is.
        dial: DialId,
        /// Where.
        address: Address,
        /// Who it has to be.
        expected: Option<NodeId>,
        /// How long to try, in milliseconds.
        within_ms: u64,
    },
    /// Write the image, and tell by [`Input::Stored`]. There is one at a time.
    Store {
        /// Which write this is.
        image: ImageId,
        /// What to write.
        state: Image,
    },
    /// This node is a new run of itself.
    SetIncarnation(Incarnation),
    /// Tell the application.
    Emit(Event),
    /// The members or this node's affiliation changed.
    Publish(Cause),
    /// A command has come to its end.
    Complete {
        /// Which.
        token: Token,
        /// How.
        outcome: Outcome,
    },
    /// Nothing more will come: the machine has stopped.
    Stopped,
}

/// Counts of what should be rare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Frames that could not be read.
    pub bad_frames: u64,
    /// Frames dropped because this node would have known more than it has room for.
    pub crowded_frames: u64,
    /// Frames of another ring or layout.
    pub foreign_frames: u64,
    /// Frames of nodes that were removed, of which nothing was merged.
    pub refused_frames: u64,
    /// Snapshots sent because two nodes had seen the same and had not the same. Expected to stay 0.
    pub divergences: u64,
    /// Records whose event had written something else before. Expected to stay 0.
    pub reused_dots: u64,
    /// Records not merged because they would have become larger than a record may be. Expected to stay 0.
    pub large_records: u64,
    /// Writes of the state that failed.
    pub failed_stores: u64,
    /// Tombstones collected.
    pub collected: u64,
    /// Actors of earlier boots forgotten.
    pub retired: u64,
    /// Answers to members that had not seen the tombstone of a floor: their disks went back. Expected to stay 0.
    pub below_floor: u64,
}
