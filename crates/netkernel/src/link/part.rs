//! One session of a link: what its writer is to do, and what becomes of it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::handle::Kill;
use crate::net::Peer;
use crate::proto::hello::Goaway;
use crate::proto::mark::Predecessor;

/// A session of a link.
pub(super) struct Live {
    pub(super) peer: Arc<Peer>,
    /// Which kernel it is: of two that use one id, one is a namesake or a successor of the other.
    pub(super) instance: u64,
    /// Nothing more will be read of it.
    pub(super) drained: CancellationToken,
    pub(super) kill: Kill,
    pub(super) part: Part,
    /// The peer has sent by it.
    pub(super) is_marked: bool,
    /// It was told to end without anything more being sent.
    pub(super) in_a_hurry: bool,
}

impl Live {
    /// Whether it has been made, so that messages may come by it.
    pub(super) fn is_made(&self) -> bool {
        !matches!(self.part, Part::Waiting)
    }
}

/// A session that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Over {
    /// It had been made.
    pub(super) was_made: bool,
    /// It was the last by which this node sent.
    pub(super) carried: bool,
    /// Its GOAWAY may have reached the peer.
    pub(super) said_goaway: bool,
}

/// What the end of a session means for the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Another session goes on, or has yet to end.
    Continues,
    /// No session is left, but the peer promised one, and one is being made.
    Awaits,
    /// No session is left.
    Last,
}

/// What a session's writer is to do.
pub(super) enum Part {
    /// Wait until the session is activated.
    Waiting,
    /// Send what the lanes hold, after a MARK that names these.
    Sending { mark: Option<Vec<Predecessor>> },
    /// Send GOAWAY and stop; with `drain`, send what waits first, after the MARK if that has not been sent yet.
    Ending { goaway: Goaway, drain: bool, mark: Option<Vec<Predecessor>> },
    /// It has sent its GOAWAY.
    Ended,
}

/// Whether messages wait to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// None.
    Nothing,
    /// Only such as must wait until the peer has read what it was sent before.
    HeldUp,
    /// Some may be sent now.
    Ready,
    /// Some may be sent now, but all of them came after the session was told to end.
    Newer,
}

/// What a session's writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing now.
    Nothing,
    /// The first frame of the session's direction.
    Mark(Vec<Predecessor>),
    /// Messages that wait.
    Messages,
    /// The last frame.
    Goaway(Goaway),
    /// The session is over.
    Gone,
}

/// What became of a session that was confirmed.
pub(super) enum Confirmation {
    /// Nothing: it was confirmed before, is over, or may not follow on what there is.
    Unknown,
    /// It ends.
    Loses,
    /// It takes over.
    TakesOver {
        /// Its peer.
        peer: Arc<Peer>,
        /// It is the first of its link: the layers above do not know the peer as connected.
        is_new: bool,
    },
}
