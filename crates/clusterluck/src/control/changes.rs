//! Carries out the commands that change the ring.

use std::fmt;
use std::time::Duration;

use gossip::{
    InsertError, Insertion, JoinError, LeaveError, MeetError, Operation, Reach, RemoveError, RingName,
    Unavailable, UpdateError,
};
use netkernel::{Address, Net, NodeId};

use super::failure::Failure;
use super::protocol::{Done, Insert, Join, Leave, Meet, Remove, Update};
use super::server::{Operated, Run, member};

impl Operated {
    /// Waits until a change has reached every reachable member, if that was asked for.
    async fn propagated(&self, operation: Operation, wait_ms: Option<u64>) -> Done {
        let Some(wait_ms) = wait_ms else { return Done { propagated: None } };
        let within = Duration::from_millis(wait_ms).min(WAIT_MAX);
        let spread = self.gossip.propagated(operation, Reach::Reachable, within).await;
        Done { propagated: Some(spread.is_ok()) }
    }
}

impl Run for Join {
    async fn run(self, node: &Operated) -> Result<Done, Failure> {
        let ring = RingName::new(&self.ring).map_err(invalid)?;
        let operation = node.gossip.join(ring).await?;
        Ok(node.propagated(operation, self.wait_ms).await)
    }
}

impl Run for Meet {
    async fn run(self, node: &Operated) -> Result<Done, Failure> {
        node.view()?;
        let address = Address::new(&self.host, self.port).map_err(invalid)?;
        let met = if self.id.is_empty() {
            node.gossip.meet(&address).await
        } else {
            let id = NodeId::new(&self.id).map_err(invalid)?;
            node.gossip.meet_node(&id, &address).await
        };
        Ok(node.propagated(met.map_err(unmet)?, self.wait_ms).await)
    }
}

impl Run for Leave {
    async fn run(self, node: &Operated) -> Result<Done, Failure> {
        node.view()?;
        let operation = node.gossip.leave(self.force).await?;
        Ok(node.propagated(operation, None).await)
    }
}

impl Run for Insert {
    async fn run(self, node: &Operated) -> Result<Done, Failure> {
        node.view()?;
        let own = node.kernel.local().id;
        let mut insertions = Vec::with_capacity(self.nodes.len());
        for target in &self.nodes {
            let id = NodeId::new(&target.id).map_err(invalid)?;
            let address = Address::new(&target.host, target.port).map_err(invalid)?;
            let insertion = Insertion::new(id.clone(), address);
            insertions.push((id, self.weight.into_iter().fold(insertion, Insertion::weight)));
        }
        if self.nodes.len() > 1 {
            // As in the original, a list given to all nodes may name the node it is given to.
            insertions.retain(|(id, _)| *id != own);
        }
        let insertions = insertions.into_iter().map(|(_, insertion)| insertion).collect();
        let operation = node.gossip.insert_many(insertions, self.force).await?;
        Ok(node.propagated(operation, self.wait_ms).await)
    }
}

impl Run for Update {
    async fn run(self, node: &Operated) -> Result<Done, Failure> {
        let view = node.view()?;
        let id = member(&view, &self.id)?.id.clone();
        let weight = self.weight.unwrap_or(hashring::WEIGHT_DEFAULT);
        let operation = node.gossip.update(&id, weight).await?;
        Ok(node.propagated(operation, self.wait_ms).await)
    }
}

impl Run for Remove {
    async fn run(self, node: &Operated) -> Result<Done, Failure> {
        let view = node.view()?;
        let mut ids: Vec<NodeId> =
            self.ids.iter().map(|id| Ok(member(&view, id)?.id.clone())).collect::<Result<_, Failure>>()?;
        if ids.len() > 1 {
            // As with inserts: a list given to all nodes may name the node it is given to.
            let own = node.kernel.local().id;
            ids.retain(|id| *id != own);
        }
        let operation = node.gossip.remove_many(ids, self.force).await?;
        Ok(node.propagated(operation, self.wait_ms).await)
    }
}

fn invalid(error: impl fmt::Display) -> Failure {
    Failure::Invalid { reason: error.to_string() }
}

fn failed(error: impl fmt::Display) -> Failure {
    Failure::Failed { reason: error.to_string() }
}

/// What an operation of gossip came to, with what to do where the error does not say.
macro_rules! told_as_failures {
    ($($error:ident),+) => { $(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                match error {
                    $error::NotInRing => Self::NotInRing,
                    $error::Unavailable(Unavailable::NotStored { .. }) => not_stored(error),
                    error => failed(error),
                }
            }
        }
    )+ };
}

told_as_failures!(InsertError, RemoveError, UpdateError);

impl From<LeaveError> for Failure {
    fn from(error: LeaveError) -> Self {
        match error {
            LeaveError::NotInRing => Self::NotInRing,
            LeaveError::NotAcknowledged { .. } => {
                failed(format!("{error}; with --force it leaves whoever hears of it"))
            }
            LeaveError::Unavailable(Unavailable::NotStored { .. }) => not_stored(error),
            error => failed(error),
        }
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Unavailable(Unavailable::NotStored { .. }) => not_stored(error),
            error => failed(error),
        }
    }
}

fn not_stored(error: impl fmt::Display) -> Failure {
    failed(format!(
        "{error}; see that the disk has room and the data folder can be written to, then try again"
    ))
}

/// The same for a meet, with what to do where the error is the way there.
fn unmet(error: MeetError) -> Failure {
    match error {
        MeetError::Unreachable { .. } | MeetError::NoAnswer { .. } => {
            failed(format!("{error}: check the address, and that a node of this cookie runs there"))
        }
        MeetError::ForeignRing { .. } | MeetError::PeerNotInRing { .. } => failed(format!(
            "{error}: only nodes of one ring can meet; `clusterluck join <ring>` there, after `leave` if need be"
        )),
        error => failed(error),
    }
}

/// The longest an operator may wait for a change to spread.
const WAIT_MAX: Duration = Duration::from_secs(600);
