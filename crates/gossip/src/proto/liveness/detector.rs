//! The contract of failure detectors, and the one that detects nothing.

use std::fmt;
use std::sync::Arc;

use netkernel::{Incarnation, NodeId};

use super::pace::Pace;
use super::signal::Signal;
use super::swim::Swim;

/// Whether a member is there, as far as can be told from here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Liveness {
    /// It answers, or there was no reason to ask.
    #[default]
    Alive,
    /// It did not answer. It is given time to say otherwise, and still counts as up.
    Suspect,
    /// It does not answer anybody who was asked, or said goodbye. It stays a member, and its keys stay its own.
    Down,
}

impl fmt::Display for Liveness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
        })
    }
}

/// What a detector is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// This node is this run of itself.
    Local {
        /// The run.
        incarnation: Incarnation,
    },
    /// Another node is a member and was heard from as this run: watch it.
    Member {
        /// The node.
        id: NodeId,
        /// Its run.
        incarnation: Incarnation,
    },
    /// The node is no member any more.
    Gone {
        /// The node.
        id: NodeId,
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
    /// Nobody listens at the node's address.
    Refused {
        /// The node.
        id: NodeId,
    },
    /// A member said this.
    Signal {
        /// The member.
        from: NodeId,
        /// What it said.
        signal: Signal,
    },
    /// The node stops for a while.
    Goodbye {
        /// The node.
        id: NodeId,
    },
    /// This node stops: it answers nothing from now on.
    Stopping,
}

/// What a detector wants.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Say this to a member, if there is a session to it.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        signal: Signal,
    },
    /// What is thought of a member has changed.
    Changed {
        /// The member.
        id: NodeId,
        /// What was thought.
        was: Liveness,
        /// What is thought now.
        now: Liveness,
    },
    /// A member is there, but others alone hear it: the session with it, if there is one, is to be doubted.
    Unheard {
        /// The member.
        id: NodeId,
    },
}

/// Decides which members are alive. It is pure: time comes in, messages and verdicts come out, and whoever drives it
/// calls [`wake`](Self::wake) when its deadline has come and takes all outputs after each call.
///
/// A detector never decides who is a member.
pub trait FailureDetector: fmt::Debug + Send {
    /// Takes in what happened.
    fn handle(&mut self, input: Input, now_ms: u64);

    /// Does what is due.
    fn wake(&mut self, now_ms: u64);

    /// When `wake` wants to be called, on the same clock.
    fn deadline_ms(&self) -> Option<u64>;

    /// The next output.
    fn poll(&mut self) -> Option<Output>;

    /// What is thought of a node now; nodes that are not watched are [`Liveness::Alive`].
    fn liveness(&self, id: &NodeId) -> Liveness;

    /// Whether a node that is down said goodbye. A detector that does not tell says no.
    fn has_stopped(&self, _id: &NodeId) -> bool {
        false
    }

    /// After how many milliseconds, from when the first of many that went away at once is found to be down, all of them are,
    /// in a ring of so many members.
    fn settled_ms(&self, _members: usize) -> u64 {
        0
    }
}

/// Detects nothing: every member is alive. For clusters whose platform knows better, and for tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoDetector;

impl FailureDetector for NoDetector {
    fn handle(&mut self, _: Input, _: u64) {}

    fn wake(&mut self, _: u64) {}

    fn deadline_ms(&self) -> Option<u64> {
        None
    }

    fn poll(&mut self) -> Option<Output> {
        None
    }

    fn liveness(&self, _: &NodeId) -> Liveness {
        Liveness::Alive
    }
}

/// Which detector a node runs. All nodes of a ring should run the same kind.
#[derive(Clone)]
pub struct Detector(Kind);

#[derive(Clone)]
enum Kind {
    Swim(Pace),
    None,
    Other(Arc<Make>),
}

/// Makes the detector of a node, given its id and a seed for what it leaves to chance.
type Make = dyn Fn(NodeId, u64) -> Box<dyn FailureDetector> + Send + Sync;

impl Detector {
    /// [`Swim`] at this pace.
    #[must_use]
    pub fn swim(pace: Pace) -> Self {
        Self(Kind::Swim(pace))
    }

    /// [`NoDetector`].
    #[must_use]
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// Another one: `make` is given the node's id and a seed for what the detector leaves to chance.
    pub fn new(make: impl Fn(NodeId, u64) -> Box<dyn FailureDetector> + Send + Sync + 'static) -> Self {
        Self(Kind::Other(Arc::new(make)))
    }

    /// The pace, if it is [`Swim`].
    #[must_use]
    pub fn pace(&self) -> Option<&Pace> {
        match &self.0 {
            Kind::Swim(pace) => Some(pace),
            _ => None,
        }
    }

    pub(crate) fn make(&self, id: NodeId, seed: u64) -> Box<dyn FailureDetector> {
        match &self.0 {
            Kind::Swim(pace) => Box::new(Swim::new(id, pace.clone(), seed)),
            Kind::None => Box::new(NoDetector),
            Kind::Other(make) => make(id, seed),
        }
    }
}

impl Default for Detector {
    fn default() -> Self {
        Self::swim(Pace::default())
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Swim(pace) => formatter.debug_tuple("Swim").field(pace).finish(),
            Kind::None => formatter.write_str("None"),
            Kind::Other(_) => formatter.write_str("Other"),
        }
    }
}
