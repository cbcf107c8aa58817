//! `insert`, `minsert`, `update`, `remove`, `mremove`: changes of the ring.

use anyhow::{Result, anyhow, bail, ensure};
use clap::Args;
use clusterluck::control::{self, NodeInfo};
use clusterluck::hashring::WEIGHT_MAX;
use clusterluck::netkernel::NodeId;

use crate::args::address;
use crate::client::Session;
use crate::output::Answer;
use crate::render::text::{STRONG, place};

/// How a change is made.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct How {
    /// Ahead of operations that wait on the node
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    wait: Wait,
}

/// When a change counts as made.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Wait {
    /// Return when every reachable member has it, or fail after --timeout
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Insert {
    /// The node's id
    id: NodeId,
    /// Its host
    host: String,
    /// Its port
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    at_port: u16,
    /// How many points it gets on the ring [default: the ring's]
    #[arg(short, long, value_parser = weight, allow_negative_numbers = true)]
    weight: Option<u32>,
    #[command(flatten)]
    how: How,
}

impl Insert {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let node = checked(self.id, &self.host, self.at_port)?;
        insert(session, vec![node], self.weight, self.how).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Minsert {
    /// The nodes: id, host and port of each
    #[arg(required = true, value_names = ["ID HOST PORT"])]
    nodes: Vec<String>,
    /// How many points each gets on the ring [default: the ring's]
    #[arg(short, long, value_parser = weight, allow_negative_numbers = true)]
    weight: Option<u32>,
    #[command(flatten)]
    how: How,
}

impl Minsert {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        insert(session, triples(&self.nodes)?, self.weight, self.how).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// The node's id
    id: NodeId,
    /// Its host, which must be the one the ring knows
    #[arg(requires = "at_port")]
    host: Option<String>,
    /// Its port
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    at_port: Option<u16>,
    /// How many points it gets on the ring [default: the ring's]
    #[arg(value_parser = weight, allow_negative_numbers = true)]
    new_weight: Option<u32>,
    /// The same, as an option
    #[arg(short, long, value_parser = weight, allow_negative_numbers = true, conflicts_with = "new_weight")]
    weight: Option<u32>,
    #[command(flatten)]
    how: How,
}

impl Update {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        if let (Some(host), Some(port)) = (&self.host, self.at_port) {
            check_place(session, &checked(self.id.clone(), host, port)?).await?;
        }
        let How { force, wait: Wait { wait } } = self.how;
        let weight = self.new_weight.or(self.weight);
        let command =
            control::Update { id: self.id.to_string(), weight, force, wait_ms: session.wait_ms(wait) };
        session.change(&command, wait).await?;
        let now = weight.map_or("the ring's default weight".to_owned(), |weight| format!("weight {weight}"));
        Ok(Answer::done(format!("{STRONG}{}{STRONG:#} has {now}{}", self.id, spread(wait))))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The node's id
    id: NodeId,
    /// Its host, which must be the one the ring knows
    #[arg(requires = "at_port")]
    host: Option<String>,
    /// Its port
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    at_port: Option<u16>,
    #[command(flatten)]
    how: How,
}

impl Remove {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        if let (Some(host), Some(port)) = (&self.host, self.at_port) {
            check_place(session, &checked(self.id.clone(), host, port)?).await?;
        }
        remove(session, vec![self.id.into()], self.how).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Mremove {
    /// Their ids; or id, host and port of each
    #[arg(required = true, value_name = "ID")]
    nodes: Vec<String>,
    #[command(flatten)]
    how: How,
}

impl Mremove {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let ids = if are_triples(&self.nodes) {
            let nodes = triples(&self.nodes)?;
            for node in &nodes {
                check_place(session, node).await?;
            }
            nodes.into_iter().map(|node| node.id).collect()
        } else {
            self.nodes
        };
        remove(session, ids, self.how).await
    }
}

async fn insert(session: &Session, nodes: Vec<NodeInfo>, weight: Option<u32>, how: How) -> Result<Answer> {
    let How { force, wait: Wait { wait } } = how;
    let ids = listed(nodes.iter().map(|node| node.id.as_str()));
    session.change(&control::Insert { nodes, weight, force, wait_ms: session.wait_ms(wait) }, wait).await?;
    Ok(Answer::done(format!("inserted {ids}{}", spread(wait))))
}

async fn remove(session: &Session, ids: Vec<String>, how: How) -> Result<Answer> {
    let How { force, wait: Wait { wait } } = how;
    let listed = listed(ids.iter().map(String::as_str));
    session.change(&control::Remove { ids, force, wait_ms: session.wait_ms(wait) }, wait).await?;
    Ok(Answer::done(format!("removed {listed}{}", spread(wait))))
}

/// An address given with a member's id is a check that the right one is meant: members say themselves where they
/// are.
async fn check_place(session: &Session, given: &NodeInfo) -> Result<()> {
    let known = session.ask(&control::Get { id: given.id.clone() }).await?;
    ensure!(
        known == *given,
        "`{}` is at {}, not at {}, and says so itself: leave out the address, or give that one",
        known.id,
        place(&known),
        place(given),
    );
    Ok(())
}

fn checked(id: NodeId, host: &str, port: u16) -> Result<NodeInfo> {
    Ok(NodeInfo { id: id.into(), host: address(host, port)?.host().to_owned(), port })
}

/// Reads `id host port id host port …`.
fn triples(words: &[String]) -> Result<Vec<NodeInfo>> {
    ensure!(
        words.len().is_multiple_of(3),
        "nodes come as <id> <host> <port>, and {} words are no whole number of them",
        words.len()
    );
    words
        .chunks_exact(3)
        .map(|words| {
            let [id, host, port] = words else { bail!("nodes come as <id> <host> <port>") };
            let parsed: NodeId =
                id.parse().map_err(|error| anyhow!("`{id}` cannot be a node's id: {error}"))?;
            let port = port
                .parse()
                .map_err(|_| anyhow!("`{port}`, the port of `{id}`, is not a number from 1 to 65535"))?;
            checked(parsed, host, port)
        })
        .collect()
}

/// Whether a list can only mean `id host port …`: every third word is a port.
fn are_triples(words: &[String]) -> bool {
    words.len().is_multiple_of(3)
        && words.chunks_exact(3).all(|words| words[2].parse::<u16>().is_ok_and(|port| port > 0))
}

/// Reads the number of points of a node.
pub(crate) fn weight(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(weight) if weight <= WEIGHT_MAX => Ok(weight),
        _ => Err(format!("a weight is a whole number from 0 to {WEIGHT_MAX}; 0 owns no keys")),
    }
}

fn listed<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.map(|id| format!("{STRONG}{id}{STRONG:#}")).collect::<Vec<_>>().join(", ")
}

/// What `--wait` adds to an answer.
pub(super) fn spread(waited: bool) -> &'static str {
    if waited { "; every reachable member knows" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn nodes_come_in_threes() {
        let nodes = triples(&words("a h1 1 b h2 65535")).unwrap();
        assert_eq!(
            nodes.iter().map(|node| (node.id.as_str(), node.port)).collect::<Vec<_>>(),
            [("a", 1), ("b", 65535)]
        );
        for text in ["a", "a h", "a h 0x", "a h 65536", "a h 1 b", "a h -1"] {
            assert!(triples(&words(text)).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_list_of_ids_is_told_from_a_list_of_nodes() {
        assert!(are_triples(&words("a h1 1 b h2 2")));
        assert!(!are_triples(&words("a b c")));
        assert!(!are_triples(&words("a h1 1 b")));
    }

    #[test]
    fn weights_are_whole_and_bounded() {
        assert_eq!(weight("0"), Ok(0));
        assert_eq!(weight(&WEIGHT_MAX.to_string()), Ok(WEIGHT_MAX));
        for text in ["", "-1", "2.5", "1e3", &(WEIGHT_MAX + 1).to_string(), "99999999999"] {
            assert!(weight(text).unwrap_err().contains("whole number"), "{text}");
        }
    }
}
