//! A node in a process of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clusterluck::control::{Client, Command as ControlCommand};
use clusterluck::netkernel::{Address, Cookie, NodeId};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::commands::start::STAY;

/// What all nodes of the demonstration share.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) folder: PathBuf,
    pub(super) cookie_file: PathBuf,
    pub(super) cookie: Cookie,
    pub(super) ring: &'static str,
    /// What the nodes dial by way of.
    pub(super) relay: Address,
}

/// A running `clusterluck start`, ended when this is dropped.
pub(super) struct Process {
    pub(super) id: NodeId,
    pub(super) address: Address,
    child: Child,
    /// The node stops when this closes: then it cannot outlive this process, however that ends.
    life: Option<ChildStdin>,
    client: Client,
}

impl Process {
    /// Starts the node and waits until it says that it is ready.
    pub(super) async fn start(common: &Common, id: &str, meet: Option<&Address>) -> Result<Self> {
        let mut child =
            spawn(common, id, meet).with_context(|| format!("cannot start a process for `{id}`"))?;
        let life = child.stdin.take();
        let ready = tokio::time::timeout(READY_WITHIN, ready_line(&mut child)).await;
        let address = match ready {
            Ok(Ok(address)) => address,
            Ok(Err(error)) => return Err(abandoned(child, error, id).await),
            Err(_) => return Err(abandoned(child, anyhow!("not ready after {READY_WITHIN:?}"), id).await),
        };
        let id = NodeId::new(id)?;
        let client = Client::connect(&address, Some(&id), &common.cookie, ANSWER_WITHIN).await;
        match client {
            Ok(client) => Ok(Self { id, address, child, life, client }),
            Err(error) => {
                let error = anyhow::Error::new(error).context("cannot be operated");
                Err(abandoned(child, error, id.as_str()).await)
            }
        }
    }

    /// Asks the node one thing, as the command line does.
    pub(super) async fn ask<C: ControlCommand>(&self, command: &C) -> Result<C::Answer> {
        self.client.run(command).await.with_context(|| format!("`{}` did not do `{}`", self.id, C::NAME))
    }

    /// Ends the process without a word (SIGKILL), as a crash would.
    pub(super) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill `{}`", self.id))
    }

    /// Asks the node to stop, and sees to it that it does.
    pub(super) async fn stop(mut self) -> Result<()> {
        drop(self.life.take());
        match tokio::time::timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => bail!("`{}` did not stop in good order: {status}", self.id),
            Ok(Err(error)) => Err(error).with_context(|| format!("cannot wait for `{}`", self.id)),
            Err(_) => bail!("`{}` was still stopping after {STOP_WITHIN:?}", self.id),
        }
    }

    /// Lets the node go on when this process ends, and gives its process id.
    pub(super) async fn keep(mut self) -> Result<Option<u32>> {
        let mut life = self.life.take().context("its standard input is not piped")?;
        let told = async {
            life.write_all(STAY.as_bytes()).await?;
            life.shutdown().await
        };
        told.await.with_context(|| format!("cannot tell `{}` to stay", self.id))?;
        let id = self.child.id();
        // What is dropped is killed.
        std::mem::forget(self.child);
        Ok(id)
    }
}

/// The end of a node's log, for when something went wrong.
pub(super) fn log_tail(folder: &Path, id: &str) -> String {
    let Ok(log) = fs::read_to_string(log_file(folder, id)) else { return String::new() };
    let lines: Vec<&str> = log.lines().collect();
    let tail = lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
    tail.iter().map(|line| format!("  {id}: {line}\n")).collect()
}

fn spawn(common: &Common, id: &str, meet: Option<&Address>) -> Result<Child> {
    let log = log_file(&common.folder, id);
    let log = File::options().create(true).append(true).open(log).context("its log cannot be written")?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--json", "start", id, "--listen", "127.0.0.1:0", "--ring", common.ring])
        .args(meet.map(|address| format!("--meet={address}")))
        .arg("--cookie-file")
        .arg(&common.cookie_file)
        .arg("--data-dir")
        .arg(common.folder.join(id))
        .arg(format!("--through={}", common.relay))
        .arg("--stop-on-eof")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true);
    // The environment is the user's; what it says of nodes is not meant for these.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CLUSTERLUCK_") && name != "CLUSTERLUCK_LOG" {
            command.env_remove(name);
        }
    }
    // An interrupt at the terminal is this process's to handle, in its own order.
    #[cfg(unix)]
    command.process_group(0);
    Ok(command.spawn()?)
}

/// Where the node says it listens.
async fn ready_line(child: &mut Child) -> Result<Address> {
    let output = child.stdout.take().context("its output is not piped")?;
    let mut lines = BufReader::new(output).lines();
    let mut said = String::new();
    let document: Value = loop {
        said += &lines.next_line().await?.context("it ended before it was ready")?;
        // That it is ready is one line, and why it is not may be several.
        match serde_json::from_str(&said) {
            Err(error) if error.is_eof() => {}
            document => break document.with_context(|| format!("it said `{said}`"))?,
        }
    };
    if let Some(reason) = document["error"]["message"].as_str() {
        bail!("{reason}");
    }
    let data = &document["data"];
    let port = data["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let (host, port) = data["host"].as_str().zip(port).with_context(|| format!("it said `{said}`"))?;
    Ok(Address::new(host, port)?)
}

async fn abandoned(mut child: Child, error: anyhow::Error, id: &str) -> anyhow::Error {
    match child.kill().await {
        Ok(()) => error.context(format!("`{id}` did not start")),
        Err(left) => error.context(format!("`{id}` did not start, nor could its process be ended ({left})")),
    }
}

fn log_file(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.log"))
}

const READY_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const STOP_WITHIN: Duration = Duration::from_secs(15);
const LOG_LINES: usize = 15;
