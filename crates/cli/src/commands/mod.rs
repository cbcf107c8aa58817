//! What the command line does, a file for each group of commands.

mod change;
pub(crate) mod completions;
pub(crate) mod cookie;
mod info;
mod inspect;
mod lookup;
mod members;
mod membership;
mod metrics;
mod owner;
mod servers;
pub(crate) mod start;
mod watch;

use anyhow::Result;
use clap::Subcommand;
use clusterluck::netkernel::NodeId;

use crate::args::Options;
use crate::client::Session;
use crate::output::{Answer, Format};

/// What is done with a node.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    #[command(flatten)]
    Ask(Question),
    /// Show what happens on the node, as it happens, until interrupted
    Watch(watch::Watch),
}

impl NodeCommand {
    /// Does it, and prints what comes of it.
    pub(crate) async fn run(self, options: &Options, format: Format) -> Result<()> {
        match self {
            Self::Ask(question) => {
                let session = Session::open(options, format).await?;
                let answered = question.run(&session).await;
                session.close().await;
                answered?.print(format)
            }
            Self::Watch(watch) => watch.run(options, format).await,
        }
    }
}

/// What has one answer.
#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// Show the node's ring: who owns how much of it
    Inspect(inspect::Inspect),
    /// List the nodes of the ring
    Nodes(lookup::Nodes),
    /// Show where a node of the ring is
    Get(lookup::Get),
    /// Say whether a node is in the ring
    Has(lookup::Has),
    /// Show how many points a node has on the ring
    Weight(lookup::Weight),
    /// Show how many points each node has on the ring
    Weights(lookup::Weights),
    /// Say whether the node answers
    Ping(lookup::Ping),
    /// List the members with all that is known of them
    Members(members::Members),
    /// Say which nodes hold a key
    Owner(owner::Owner),
    /// List the gen_servers on the node
    Servers(servers::Servers),
    /// Show the node itself: release, uptime, links
    Info(info::Info),
    /// Show the node's counters
    Metrics(metrics::Metrics),
    /// Put the node into a ring; it must be in none
    Join(membership::Join),
    /// Let the node meet another: both come to know what either knows
    Meet(membership::Meet),
    /// Take the node out of its ring
    Leave(membership::Leave),
    /// Insert a node into the ring
    Insert(change::Insert),
    /// Insert several nodes into the ring
    Minsert(change::Minsert),
    /// Change a node's weight
    Update(change::Update),
    /// Remove a node from the ring
    Remove(change::Remove),
    /// Remove several nodes from the ring
    Mremove(change::Mremove),
}

impl Question {
    /// Asks the node at the other end of the session.
    async fn run(self, session: &Session) -> Result<Answer> {
        match self {
            Self::Inspect(command) => command.run(session).await,
            Self::Nodes(command) => command.run(session).await,
            Self::Get(command) => command.run(session).await,
            Self::Has(command) => command.run(session).await,
            Self::Weight(command) => command.run(session).await,
            Self::Weights(command) => command.run(session).await,
            Self::Ping(command) => command.run(session).await,
            Self::Members(command) => command.run(session).await,
            Self::Owner(command) => command.run(session).await,
            Self::Servers(command) => command.run(session).await,
            Self::Info(command) => command.run(session).await,
            Self::Metrics(command) => command.run(session).await,
            Self::Join(command) => command.run(session).await,
            Self::Meet(command) => command.run(session).await,
            Self::Leave(command) => command.run(session).await,
            Self::Insert(command) => command.run(session).await,
            Self::Minsert(command) => command.run(session).await,
            Self::Update(command) => command.run(session).await,
            Self::Remove(command) => command.run(session).await,
            Self::Mremove(command) => command.run(session).await,
        }
    }
}

/// A member named on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The node's id
    pub(crate) id: NodeId,
}

pub(crate) const LOCAL_HELP: &str = "\
The cookie is the first of: --key, --cookie-file, the variable CLUSTERLUCK_COOKIE
(64 hexadecimal digits), and the user's own, which `start` makes when there is none.
Exit code: 0 if all went well, 1 if not.
CLUSTERLUCK_LOG=debug shows on standard error what happens inside.";
