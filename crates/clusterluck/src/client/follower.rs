//! Follows the ring of one member, and goes over to another when that one is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gossip::RingName;
use netkernel::{Address, Kernel, Net, NodeId};
use thiserror::Error;
use tokio::sync::watch;

use super::known::{Known, Links};
use crate::control::{self, ClientError, Follow};

/// Why a client follows a member no longer, or did not begin to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FollowError {
    /// No session could be made.
    #[error(transparent)]
    Connect(#[from] netkernel::ConnectError),
    /// It did not answer, or refused to.
    #[error(transparent)]
    Unanswered(#[from] ClientError),
    /// It is in no ring.
    #[error("`{node}` is in no ring")]
    NotInRing {
        /// The node.
        node: NodeId,
    },
    /// It is in another ring than the one this client is for.
    #[error("`{node}` is in ring `{ring}`, not in `{expected}`")]
    OtherRing {
        /// The node.
        node: NodeId,
        /// Its ring.
        ring: String,
        /// The ring this client is for.
        expected: String,
    },
    /// It places keys by other rules than this client does.
    #[error("`{node}` places keys differently: use a client of its release")]
    Layout {
        /// The node.
        node: NodeId,
    },
}

/// Keeps what the client knows of the ring current.
pub(super) struct Follower {
    pub(super) kernel: Kernel,
    pub(super) seeds: Vec<Address>,
    /// The ring this client is for; the first one seen, if none was given.
    pub(super) ring: Option<RingName>,
    /// Where it begins among many, so that not all clients follow the same one.
    pub(super) start: usize,
    pub(super) links: Arc<Links>,
    /// The last failure, for who waits for a first answer.
    pub(super) failed: watch::Sender<Option<Arc<FollowError>>>,
}

impl Follower {
    /// Follows one member after another, for ever.
    pub(super) async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            let mut heard = false;
            for address in self.candidates() {
                let error = match self.follow(&address, &mut heard).await {
                    Ok(never) => match never {},
                    Err(error) => error,
                };
                tracing::info!(%address, %error, "follows another node");
                self.failed.send_replace(Some(Arc::new(error)));
                if heard {
                    break;
                }
            }
            if heard {
                wait = FIRST_WAIT;
                continue;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Whom to ask: members with a session first, then the others, then those named at the start.
    fn candidates(&self) -> Vec<Address> {
        let known = self.links.known().borrow().clone();
        let mut members: Vec<_> = known.iter().flat_map(|known| known.ring.nodes().cloned()).collect();
        let peers = self.kernel.peers();
        let up: BTreeSet<&NodeId> = peers.iter().filter(|peer| peer.connected).map(|peer| &peer.id).collect();
        if !members.is_empty() {
            let start = self.start % members.len();
            members.rotate_left(start);
        }
        members.sort_by_key(|member| !up.contains(&member.id));
        let mut addresses: Vec<Address> = members.into_iter().map(|member| member.address).collect();
        let start = self.start % self.seeds.len().max(1);
        addresses.extend(self.seeds.iter().cycle().skip(start).take(self.seeds.len()).cloned());
        addresses
    }

    /// Follows the member at this address for as long as it answers; `heard` tells whether it ever did.
    async fn follow(&mut self, address: &Address, heard: &mut bool) -> Result<Never, FollowError> {
        let node = self.kernel.dial(address, None, DIAL_WITHIN).await?;
        self.kernel.connect(&node.id, &node.address);
        let followed = self.listen(&node.id, heard).await;
        // Whoever talks to it keeps a session with it for that.
        self.links.unless_wished(&node.id, || self.kernel.disconnect(&node.id, true));
        followed
    }

    async fn listen(&mut self, node: &NodeId, heard: &mut bool) -> Result<Never, FollowError> {
        let mut seen = 0;
        loop {
            let command = Follow { seen, wait_ms: u64::try_from(POLL.as_millis()).unwrap_or(u64::MAX) };
            let followed = control::ask(&self.kernel, node, &command, POLL + ANSWER_WITHIN).await?;
            if followed.version == seen {
                continue;
            }
            let name = self.checked(node, followed.ring.clone())?;
            let known =
                Known::of(name, &followed).ok_or_else(|| FollowError::Layout { node: node.clone() })?;
            (seen, *heard) = (followed.version, true);
            self.links.learn(known);
        }
    }

    /// The ring's name, if it is the one this client is for.
    fn checked(&mut self, node: &NodeId, ring: Option<String>) -> Result<String, FollowError> {
        let ring = ring.ok_or_else(|| FollowError::NotInRing { node: node.clone() })?;
        match &self.ring {
            Some(expected) if expected.as_str() != ring => {
                let expected = expected.to_string();
                Err(FollowError::OtherRing { node: node.clone(), ring, expected })
            }
            Some(_) => Ok(ring),
            None => {
                self.ring = RingName::new(&ring).ok();
                Ok(ring)
            }
        }
    }
}

/// Following ends in an error only.
pub(super) enum Never {}

/// How long one question for news stays open.
const POLL: Duration = Duration::from_secs(10);
/// How much later its answer may come.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const DIAL_WITHIN: Duration = Duration::from_secs(2);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
