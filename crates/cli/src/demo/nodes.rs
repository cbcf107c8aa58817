//! The five nodes together.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clusterluck::control::{Get, Has, Inspect, Inspection, Members};
use clusterluck::netkernel::{Address, Cookie};
use tokio::time::Instant;

use super::kept::{Kept, KeptNode};
use super::process::{Common, Process, log_tail};
use super::relay::Relay;

/// The nodes of the demonstration, in the order they were started.
pub(super) struct Nodes {
    pub(super) common: Common,
    pub(super) running: Vec<Process>,
    pub(super) relay: Relay,
}

impl Nodes {
    pub(super) fn new(folder: PathBuf, cookie: Cookie, relay: Relay) -> Self {
        let cookie_file = folder.join(COOKIE_FILE);
        let common = Common { folder, cookie_file, cookie, ring: RING, relay: relay.address.clone() };
        Self { common, running: Vec::new(), relay }
    }

    /// Starts all five at once.
    pub(super) async fn start(&mut self) -> Result<()> {
        let common = &self.common;
        let [a, b, c, d, e] = IDS.map(|id| Process::start(common, id, None));
        let (a, b, c, d, e) = tokio::try_join!(a, b, c, d, e)?;
        for node in [a, b, c, d, e] {
            self.put(node);
        }
        Ok(())
    }

    /// One more node runs.
    pub(super) fn put(&mut self, node: Process) {
        self.relay.place(node.id.as_str(), &node.address);
        self.running.push(node);
    }

    /// Waits until all nodes see one ring of `members`, all of them connected, and gives it.
    pub(super) async fn agreed(&self, members: usize) -> Result<Inspection> {
        until("the nodes agree on one ring", async || {
            let mut agreed: Option<Inspection> = None;
            for node in &self.running {
                let seen = node.ask(&Inspect { points: false }).await?;
                let whole =
                    seen.members.len() == members && seen.members.iter().all(|member| member.connected);
                if !whole || agreed.as_ref().is_some_and(|first| first.fingerprint != seen.fingerprint) {
                    return Ok(None);
                }
                agreed.get_or_insert(seen);
            }
            Ok(agreed.filter(|ring| ring.ring.as_deref() == Some(RING)))
        })
        .await
    }

    /// Waits until every running node sees that `id` is gone.
    pub(super) async fn missed(&self, id: &str) -> Result<()> {
        until("the others see that it is gone", async || {
            for node in &self.running {
                let members = node.ask(&Members {}).await?;
                if members.iter().any(|member| member.node.id == id && member.connected) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// Waits until no node of one side is connected to one of the other.
    pub(super) async fn parted(&self, side: &[&str]) -> Result<()> {
        let on_side = |id: &str| side.contains(&id);
        until("each side sees that the other is gone", async || {
            for node in &self.running {
                let members = node.ask(&Members {}).await?;
                let mut others =
                    members.iter().filter(|member| on_side(&member.node.id) != on_side(node.id.as_str()));
                if others.any(|member| member.connected) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// Waits until every running node knows that `id` is at `address`.
    pub(super) async fn found(&self, id: &str, address: &Address) -> Result<()> {
        until("all know where it is now", async || {
            for node in &self.running {
                if node.ask(&Get { id: id.to_owned() }).await?.port != address.port() {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// Waits until every running node that `among` names has this member, or has it not.
    pub(super) async fn have(&self, among: impl Fn(&str) -> bool, id: &str, wanted: bool) -> Result<()> {
        let what = if wanted { "the nodes know a new member" } else { "the nodes have let a member go" };
        until(what, async || {
            for node in self.running.iter().filter(|node| among(node.id.as_str())) {
                if node.ask(&Has { id: id.to_owned() }).await? != wanted {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
    }

    /// The process of this id.
    pub(super) fn node(&self, id: &str) -> Result<&Process> {
        let found = self.running.iter().find(|node| node.id.as_str() == id);
        found.ok_or_else(|| anyhow!("no node `{id}` runs"))
    }

    /// Takes the process of this id out of those that run.
    pub(super) fn take(&mut self, id: &str) -> Result<Process> {
        let at = self.running.iter().position(|node| node.id.as_str() == id);
        Ok(self.running.remove(at.ok_or_else(|| anyhow!("no node `{id}` runs"))?))
    }

    /// Stops all of them in good order, together.
    pub(super) async fn stop(self) -> Result<()> {
        let mut stops = tokio::task::JoinSet::new();
        for node in self.running {
            stops.spawn(node.stop());
        }
        while let Some(stopped) = stops.join_next().await {
            stopped??;
        }
        Ok(())
    }

    /// Kills all of them.
    pub(super) async fn kill(self) {
        for node in self.running {
            // One that cannot be killed has ended.
            drop(node.kill().await);
        }
    }

    /// Lets all of them go on when this process ends.
    pub(super) async fn keep(self) -> Result<Kept> {
        let mut nodes = Vec::new();
        for node in self.running {
            let (id, address) = (node.id.clone(), node.address.clone());
            nodes.push(KeptNode { id, address, pid: node.keep().await? });
        }
        Ok(Kept { nodes, folder: self.common.folder })
    }

    /// The ends of their logs.
    pub(super) fn log_tails(&self) -> String {
        IDS.iter().map(|id| log_tail(&self.common.folder, id)).collect()
    }
}

/// Asks again and again until there is an answer, or it has taken too long.
pub(super) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + TRUE_WITHIN;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("it did not come true within {TRUE_WITHIN:?} that {what}");
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

pub(super) const IDS: [&str; 5] = ["ash", "birch", "cedar", "dogwood", "elm"];
pub(super) const RING: &str = "demo";
pub(super) const COOKIE_FILE: &str = "cookie";

/// How long a claim may take to come true before the demonstration has failed.
const TRUE_WITHIN: Duration = Duration::from_secs(8);
const ASKED_EVERY: Duration = Duration::from_millis(5);
