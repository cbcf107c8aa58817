//! The five nodes together.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clusterluck::control::{self, Get, Inspect, Inspection, Members};
use clusterluck::netkernel::{Address, Cookie};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::process::{Common, Process, log_tail};

/// The nodes of the demonstration, in the order they were started.
pub(super) struct Nodes {
    pub(super) common: Common,
    pub(super) running: Vec<Process>,
}

impl Nodes {
    pub(super) fn new(folder: PathBuf, cookie: Cookie, keep: bool) -> Self {
        let cookie_file = folder.join(COOKIE_FILE);
        Self { common: Common { folder, cookie_file, cookie, ring: RING, keep }, running: Vec::new() }
    }

    /// Starts all five at once.
    pub(super) async fn start(&mut self) -> Result<()> {
        let common = &self.common;
        let [a, b, c, d, e] = IDS.map(|id| Process::start(common, id, None));
        let (a, b, c, d, e) = tokio::try_join!(a, b, c, d, e)?;
        self.running = vec![a, b, c, d, e];
        Ok(())
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

    /// Waits until every running node has all of these members, or none of them.
    pub(super) async fn all_have(&self, ids: &[&str], wanted: bool) -> Result<()> {
        let what = if wanted { "all nodes know the new members" } else { "all nodes have let them go" };
        until(what, async || {
            for node in &self.running {
                let known = node.ask(&control::Nodes {}).await?;
                let has = |id: &&str| known.iter().any(|node| node.id == *id);
                if ids.iter().any(|id| has(id) != wanted) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
        .await
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

    pub(super) fn keep(&mut self) {
        self.running.iter_mut().for_each(Process::keep);
    }

    /// The ends of their logs.
    pub(super) fn log_tails(&self) -> String {
        IDS.iter().map(|id| log_tail(&self.common.folder, id)).collect()
    }

    /// What to try on nodes that were kept, and how to stop them.
    pub(super) fn commands(&self, folder: &Path) -> String {
        let cookie = folder.join(COOKIE_FILE);
        let port = self.running.first().map_or(0, |node| node.address.port());
        let pids: Vec<String> =
            self.running.iter().filter_map(Process::pid).map(|pid| pid.to_string()).collect();
        format!(
            "\nThe nodes run on. To look at them:\n\
             \n  export CLUSTERLUCK_COOKIE_FILE={}\
             \n  clusterluck -p {port} inspect\
             \n  clusterluck -p {port} members\
             \n  clusterluck -p {port} owner user:42 -n 3\
             \n\nTo stop them, and then to remove what they wrote:\n\
             \n  kill {}\
             \n  rm -r {}\n",
            cookie.display(),
            pids.join(" "),
            folder.display(),
        )
    }

    /// The same for programs.
    pub(super) fn document(&self, folder: &Path) -> Value {
        let node = |node: &Process| {
            json!({
                "id": node.id.as_str(),
                "host": node.address.host(),
                "port": node.address.port(),
                "pid": node.pid(),
            })
        };
        json!({
            "folder": folder.display().to_string(),
            "cookie_file": folder.join(COOKIE_FILE).display().to_string(),
            "nodes": self.running.iter().map(node).collect::<Value>(),
        })
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
