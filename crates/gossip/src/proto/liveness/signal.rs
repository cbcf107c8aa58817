//! What nodes say to find out who is alive.

use netkernel::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

/// A question or an answer, and news of others with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The question or answer.
    pub talk: Talk,
    /// What the sender wants known of others, and of itself.
    pub news: Vec<Report>,
}

/// A question or an answer. The variants are in the order of their wire tags: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Talk {
    /// "Are you there?"
    Ping {
        /// Comes back with the answer.
        seq: u32,
    },
    /// "I am", or "the one you asked me about is".
    Ack {
        /// Of the question.
        seq: u32,
    },
    /// "Ask this one for me, I hear nothing."
    PingReq {
        /// Comes back with the answer.
        seq: u32,
        /// Who is to be asked.
        target: NodeId,
    },
    /// "I am there, but the one you asked me about does not answer me either."
    Nack {
        /// Of the question.
        seq: u32,
    },
    /// Nothing but news.
    Tell,
}

/// What someone says of one run of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The node.
    pub id: NodeId,
    /// Its run. A report of another run than the one known says nothing of the node.
    pub incarnation: Incarnation,
    /// How often that run has refuted a claim. It starts at 0 with each run and is never stored.
    pub counter: u64,
    /// What is said.
    pub claim: Claim,
}

/// What is said of a node. Of two claims the one with the higher counter counts; at the same counter, the later of
/// this list. The variants are in the order of their wire tags: append only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Claim {
    /// It is there. Only the node itself raises its counter and says so.
    Alive,
    /// It does not answer.
    Suspect {
        /// Whom it did not answer.
        by: NodeId,
        /// Whether its session had closed and its address refused a new one.
        refused: bool,
    },
    /// It is not there.
    Down {
        /// Who found so; the node itself, if it said goodbye.
        by: NodeId,
    },
}

impl Report {
    /// The claim's weight at one counter.
    pub(super) fn rank(&self) -> (Incarnation, u64, u8) {
        let claim = match self.claim {
            Claim::Alive => 0,
            Claim::Suspect { .. } => 1,
            Claim::Down { .. } => 2,
        };
        (self.incarnation, self.counter, claim)
    }

    /// Who makes the claim.
    pub(super) fn by(&self) -> &NodeId {
        match &self.claim {
            Claim::Alive => &self.id,
            Claim::Suspect { by, .. } | Claim::Down { by } => by,
        }
    }
}
