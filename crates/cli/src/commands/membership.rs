//! `join`, `meet`, `leave`: what the node itself is a member of.

use anyhow::{Result, anyhow, bail};
use clap::Args;
use clusterluck::control;
use clusterluck::gossip::RingName;
use clusterluck::netkernel::{Address, NodeId};

use super::change::{Wait, spread};
use crate::args::address;
use crate::client::Session;
use crate::output::Answer;
use crate::render::text::STRONG;

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The ring's name
    ring: RingName,
    #[command(flatten)]
    wait: Wait,
}

impl Join {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let Self { ring, wait: Wait { wait } } = self;
        let command = control::Join { ring: ring.to_string(), wait_ms: session.wait_ms(wait) };
        session.change(&command, wait).await?;
        Ok(Answer::done(format!(
            "{STRONG}{}{STRONG:#} is in ring `{ring}`{}",
            session.node_id(),
            spread(wait)
        )))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Meet {
    /// The id the node must have; or its address as host:port, whatever its id
    #[arg(value_name = "ID")]
    target: String,
    /// Its host
    #[arg(requires = "at_port")]
    host: Option<String>,
    /// Its port
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    at_port: Option<u16>,
    #[command(flatten)]
    wait: Wait,
}

impl Meet {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let wait = self.wait.wait;
        let (id, address) = self.whom()?;
        let (host, port) = (address.host().to_owned(), address.port());
        session.change(&control::Meet { id, host, port, wait_ms: session.wait_ms(wait) }, wait).await?;
        Ok(Answer::done(format!(
            "{STRONG}{}{STRONG:#} has met the node at {address}{}",
            session.node_id(),
            spread(wait)
        )))
    }

    /// The id asked for, empty for any, and where.
    fn whom(self) -> Result<(String, Address)> {
        let target = self.target;
        match (self.host, self.at_port) {
            (Some(host), Some(port)) => {
                let id: NodeId =
                    target.parse().map_err(|error| anyhow!("`{target}` cannot be a node's id: {error}"))?;
                Ok((id.into(), address(&host, port)?))
            }
            _ => match target.parse() {
                Ok(address) => Ok((String::new(), address)),
                Err(_) => bail!("`{target}` is no address: give <id> <host> <port>, or <host>:<port>"),
            },
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Leave {
    /// Leave at once, without waiting until others have acknowledged it
    #[arg(short, long)]
    force: bool,
}

impl Leave {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        session.change(&control::Leave { force: self.force }, false).await?;
        Ok(Answer::done(format!("{STRONG}{}{STRONG:#} is in no ring now", session.node_id())))
    }
}
