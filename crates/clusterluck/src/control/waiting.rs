//! Carries out the commands that wait for something to happen.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use gossip::View;

use super::failure::Failure;
use super::live::{Follow, Followed, RingNodeInfo, Watch, Watched};
use super::protocol::Command;
use super::server::{Operated, Run, info};

/// Whether a command waits for something to happen, which may take for ever.
pub(super) fn waits(command: &str) -> bool {
    [Follow::NAME, Watch::NAME].contains(&command)
}

impl Run for Follow {
    async fn run(self, node: &Operated) -> Result<Followed, Failure> {
        let mut views = node.gossip.watch();
        let news = async {
            let mut followed = followed(views.latest());
            while followed.version == self.seen {
                // Once gossip has stopped there will be no news.
                let Some(view) = views.changed().await else { break };
                followed = self::followed(&view);
            }
            followed
        };
        match tokio::time::timeout(within(self.wait_ms), news).await {
            Ok(followed) => Ok(followed),
            Err(_) => Ok(followed(&node.gossip.view())),
        }
    }
}

impl Run for Watch {
    async fn run(self, node: &Operated) -> Result<Watched, Failure> {
        match tokio::time::timeout(within(self.wait_ms), node.journal.since(self.from)).await {
            Ok(watched) => Ok(watched),
            Err(_) => Ok(node.journal.since(None).await),
        }
    }
}

fn followed(view: &Arc<View>) -> Followed {
    let nodes = view.ring().members().map(|member| RingNodeInfo {
        node: info(&member.node.id, &member.node.address),
        weight: member.weight,
        zone: member.zone.map(ToString::to_string),
    });
    let mut followed = Followed {
        version: 0,
        ring: view.ring_name().map(ToString::to_string),
        nodes: nodes.collect(),
        fingerprint: view.ring().fingerprint().to_string(),
    };
    let mut hasher = DefaultHasher::new();
    followed.hash(&mut hasher);
    followed.version = hasher.finish().max(1);
    followed
}

fn within(wait_ms: u64) -> Duration {
    Duration::from_millis(wait_ms).min(WAIT_MAX)
}

/// Longer polls save nothing, and hold on to their place among those that wait.
const WAIT_MAX: Duration = Duration::from_secs(60);
