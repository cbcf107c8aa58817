//! `start`: a stock node, until interrupted.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use clusterluck::gossip::RingName;
use clusterluck::gossip::liveness::{Detector, Pace, RemoveAfter};
use clusterluck::netkernel::{Address, BindError, Cookie, NodeId, Stopped};
use clusterluck::{Cluster, StartError};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::Instant;

use super::change::weight;
use crate::args::{Options, duration};
use crate::cookie::{self, Found, reason};
use crate::echo::{self, Echo};
use crate::exporter::Exporter;
use crate::output::{self, Format, print_line};
use crate::render::text::{FAINT, GOOD, STRONG};
use crate::seeds::{Seed, meet_named};
use crate::signals::Signals;
use crate::through::Through;
use crate::usage::program;

#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The node's id, unique in the cluster
    #[arg(env = "CLUSTERLUCK_ID")]
    id: NodeId,

    /// Where to listen; port 0 takes any free port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7022", env = "CLUSTERLUCK_LISTEN")]
    listen: Address,

    /// Where others reach this node, if not where it listens
    #[arg(long, value_name = "HOST:PORT", env = "CLUSTERLUCK_ADVERTISE")]
    advertise: Option<Address>,

    /// The ring to be in [default: clusterluck]
    #[arg(long, value_name = "NAME", env = "CLUSTERLUCK_RING")]
    ring: Option<RingName>,

    /// Keep what this node knows of the ring in this folder, to find the way back after a restart
    #[arg(long, value_name = "PATH", env = "CLUSTERLUCK_DATA_DIR")]
    data_dir: Option<PathBuf>,

    /// How many points this node has on the ring; 0 owns no keys [default: 160]
    #[arg(short, long, value_parser = weight, allow_negative_numbers = true, env = "CLUSTERLUCK_WEIGHT")]
    weight: Option<u32>,

    /// The zone this node is in
    #[arg(long, value_name = "NAME", env = "CLUSTERLUCK_ZONE")]
    zone: Option<String>,

    /// Something to tell all members about this node; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag, env = "CLUSTERLUCK_TAGS", value_delimiter = ',')]
    tags: Vec<(String, String)>,

    /// A node to meet, tried until it answers; or dns:name:port for all nodes behind a name; may be given several
    /// times
    #[arg(long = "meet", value_name = "HOST:PORT", env = "CLUSTERLUCK_MEET", value_delimiter = ',')]
    seeds: Vec<Seed>,

    /// How many members to expect: names are looked up again while fewer are known
    #[arg(long, value_name = "MEMBERS", default_value_t = 2, env = "CLUSTERLUCK_EXPECT")]
    expect: usize,

    /// Where to serve the node's counters over HTTP, at /metrics, for Prometheus; whoever reaches it can read them
    #[arg(long, value_name = "HOST:PORT", env = "CLUSTERLUCK_METRICS_LISTEN")]
    metrics_listen: Option<Address>,

    /// Leave the ring for good when stopped, instead of staying a member that is away
    #[arg(long, env = "CLUSTERLUCK_LEAVE_ON_EXIT", value_parser = FalseyValueParser::new())]
    leave_on_exit: bool,

    /// How patient this node is with members that do not answer: lan for one network, wan for slow or lossy lines, busy for
    /// hosts that stall for seconds
    #[arg(long, value_enum, default_value_t, env = "CLUSTERLUCK_PACE")]
    pace: PaceName,

    /// Remove members that have been down for so long, where more than half of the ring is there [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration, env = "CLUSTERLUCK_REMOVE_AFTER")]
    remove_after: Option<Duration>,

    /// How many members may be removed for being down in any hour
    #[arg(
        long,
        value_name = "MEMBERS",
        default_value_t = 1,
        requires = "remove_after",
        env = "CLUSTERLUCK_REMOVE_MAX"
    )]
    remove_max: usize,

    /// How long a stop may take to finish what is under way, the half of it to leave
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, env = "CLUSTERLUCK_GRACE")]
    grace: Duration,

    /// Stop when standard input ends, unless a line `stay` came first: for a program that starts nodes and must not
    /// leave them behind
    #[arg(long, hide = true)]
    stop_on_eof: bool,

    /// Dial by way of the demonstration's relay
    #[arg(long, hide = true, value_name = "HOST:PORT")]
    through: Option<Address>,
}

/// The paces of the failure detector that have a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum PaceName {
    #[default]
    Lan,
    Wan,
    Busy,
}

impl From<PaceName> for Pace {
    fn from(name: PaceName) -> Self {
        match name {
            PaceName::Lan => Self::lan(),
            PaceName::Wan => Self::wan(),
            PaceName::Busy => Self::busy(),
        }
    }
}

impl Start {
    pub(crate) async fn run(self, options: &Options, format: Format) -> Result<()> {
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let (cookie, source) = match cookie::for_start(options)? {
            Some(Found { cookie, source }) => (Some(cookie), source),
            None => (None, cookie::Source::Own(cookie::own_path()?)),
        };
        let starts = async { Ok::<_, anyhow::Error>((self.exporter().await?, self.start(cookie).await?)) };
        let (exporter, cluster) = tokio::select! {
            biased;
            started = starts => started?,
            () = signals.next() => bail!("`{}` was stopped before it had started", self.id),
        };
        let metrics = exporter.as_ref().map(Exporter::address).transpose()?;
        self.announce(&cluster, &source, metrics, format)?;
        tokio::select! {
            () = signals.next() => {}
            () = end_of_input(), if self.stop_on_eof => {}
            () = meet_named(&cluster, self.names(), self.expect) => {}
            () = export(exporter.as_ref(), &cluster) => {}
        }
        // Its port is free for a next run of the node.
        drop(exporter);
        output::note(&format!(
            "stopping `{}` within {:?}; a second signal stops it at once",
            self.id, self.grace
        ));
        let is_member = cluster.view().ring_name().is_some();
        tokio::select! {
            stopped = self.stop(&cluster) => match stopped {
                Stopped::Drained => self.farewell(is_member, format),
                Stopped::Forced => bail!("`{}` did not finish within {:?}: what remained was dropped", self.id, self.grace),
            },
            () = signals.another() => bail!("`{}` was stopped at once by a second signal: what was under way is lost", self.id),
        }
    }

    async fn start(&self, cookie: Option<Cookie>) -> Result<Cluster> {
        let mut builder = Cluster::builder(self.id.as_str()).listen(self.listen.to_string());
        builder = builder.detector(Detector::swim(self.pace.into()));
        if let Some(after) = self.remove_after {
            builder = builder.removal(RemoveAfter { after, max_per_hour: self.remove_max });
        }
        if let Some(cookie) = cookie {
            builder = builder.cookie(cookie);
        }
        if let Some(address) = &self.advertise {
            builder = builder.advertise(address.to_string());
        }
        if let Some(ring) = &self.ring {
            builder = builder.ring(ring.as_str());
        }
        if let Some(folder) = &self.data_dir {
            builder = builder.data_dir(folder);
        }
        if let Some(weight) = self.weight {
            builder = builder.weight(weight);
        }
        if let Some(zone) = &self.zone {
            builder = builder.zone(zone);
        }
        for (key, value) in &self.tags {
            builder = builder.tag(key, value);
        }
        if let Some(relay) = &self.through {
            builder = builder.transport(Through { relay: relay.clone(), id: self.id.clone() });
        }
        for seed in &self.seeds {
            if let Seed::Node(address) = seed {
                builder = builder.meet(address.to_string());
            }
        }
        let cluster = builder.start().await.map_err(|error| self.not_started(error))?;
        cluster
            .spawn(echo::NAME, Echo::new(self.id.clone()))
            .await
            .context("cannot start the echo server")?;
        Ok(cluster)
    }

    async fn exporter(&self) -> Result<Option<Exporter>> {
        let Some(address) = &self.metrics_listen else { return Ok(None) };
        let exporter = Exporter::bind(address).await.map_err(|error| {
            anyhow!(
                "cannot serve metrics at {address} ({}): give another address with --metrics-listen; port 0 takes any \
                 free port",
                reason(&error)
            )
        })?;
        Ok(Some(exporter))
    }

    fn names(&self) -> Vec<Address> {
        let name = |seed: &Seed| if let Seed::Name(name) = seed { Some(name.clone()) } else { None };
        self.seeds.iter().filter_map(name).collect()
    }

    /// One line that says the node is ready, and how to look at it.
    fn announce(
        &self,
        cluster: &Cluster,
        source: &cookie::Source,
        metrics: Option<SocketAddr>,
        format: Format,
    ) -> Result<()> {
        let (node, view) = (cluster.node(), cluster.view());
        let ring = view.ring_name().map(ToString::to_string);
        let (host, port) = (node.address.host(), node.address.port());
        let line = match format {
            Format::Json => {
                let data = json!({
                    "id": node.id.as_str(),
                    "host": host,
                    "port": port,
                    "ring": ring,
                    "pid": std::process::id(),
                    "metrics": metrics.map(|address| format!("http://{address}/metrics")),
                });
                json!({"ok": true, "data": data}).to_string()
            }
            Format::Text => {
                let ring = ring.map_or("in no ring".to_owned(), |ring| format!("in ring `{ring}`"));
                let command = inspect_command(&node.address, source);
                let metrics = metrics
                    .map(|address| format!(", metrics at http://{address}/metrics"))
                    .unwrap_or_default();
                format!(
                    "{GOOD}ready{GOOD:#} {STRONG}{}{STRONG:#} at {}, {ring}{metrics}  {FAINT}look at it: {command}{FAINT:#}",
                    node.id, node.address
                )
            }
        };
        print_line(&line)
    }

    /// Leaves if that is wanted, finishes what is under way and says goodbye, all within the time given for it.
    async fn stop(&self, cluster: &Cluster) -> Stopped {
        let deadline = Instant::now() + self.grace;
        if self.leave_on_exit {
            // The rest is for those whose calls are under way.
            match tokio::time::timeout(self.grace / 2, cluster.leave(false)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => output::warn(&format!("`{}` stays a member: {error}", self.id)),
                Err(_) => output::warn(&format!(
                    "`{}` stays a member: nobody acknowledged its leave in time",
                    self.id
                )),
            }
        }
        cluster.shutdown(deadline.saturating_duration_since(Instant::now())).await
    }

    fn farewell(&self, is_member: bool, format: Format) -> Result<()> {
        if format == Format::Text {
            let kept = match (is_member, self.leave_on_exit) {
                (true, false) => "; it stays a member",
                (false, _) => "; it was in no ring",
                // That it could not leave has been said.
                (true, true) => "",
            };
            print_line(&format!("stopped {STRONG}{}{STRONG:#}{kept}", self.id))?;
        }
        Ok(())
    }

    fn not_started(&self, error: StartError) -> anyhow::Error {
        match error {
            StartError::Bind(BindError::Listen { address, source }) => anyhow!(
                "cannot listen at {address} ({}): give another address with --listen; port 0 takes any free port",
                reason(&source)
            ),
            StartError::Bind(BindError::Advertise { address }) => anyhow!(
                "listening at {address} needs --advertise <host:port>, at which others reach this node"
            ),
            StartError::Bind(error @ BindError::Undialable { .. }) => {
                anyhow!(
                    "{error}: give --advertise <host:port> a name or address of this machine, and its port"
                )
            }
            StartError::UserCookie(error) => cookie::unmade(&error),
            StartError::DataDir { path, source } => anyhow!(
                "cannot make the data folder {path} ({}): give another with --data-dir",
                reason(&source)
            ),
            StartError::Gossip(error) if self.data_dir.is_some() => {
                let folder = self.data_dir.clone().unwrap_or_default();
                anyhow::Error::new(error).context(format!(
                    "cannot start `{}` from the data folder {}, which is as it was; give another with --data-dir",
                    self.id,
                    folder.display()
                ))
            }
            other => anyhow::Error::new(other).context(format!("cannot start `{}`", self.id)),
        }
    }
}

/// The command that shows the node, as far as its defaults do not.
fn inspect_command(address: &Address, source: &cookie::Source) -> String {
    let mut command = program();
    if address.host() != "127.0.0.1" {
        command.push_str(&format!(" -H {}", address.host()));
    }
    if address.port() != 7022 {
        command.push_str(&format!(" -p {}", address.port()));
    }
    if let cookie::Source::File(path) = source {
        command.push_str(&format!(" --cookie-file {}", path.display()));
    }
    command + " inspect"
}

async fn export(exporter: Option<&Exporter>, cluster: &Cluster) {
    match exporter {
        Some(exporter) => exporter.serve(cluster).await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of standard input; for ever, once that has said to stay.
async fn end_of_input() {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == STAY.trim_end() {
            std::future::pending::<()>().await;
        }
    }
}

/// What a program says to a node that is to outlive it.
pub(crate) const STAY: &str = "stay\n";

/// Reads `key=value`.
fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a tag is written key=value".to_owned()),
    }
}
