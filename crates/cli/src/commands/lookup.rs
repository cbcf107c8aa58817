//! `nodes`, `get`, `has`, `weight`, `weights`, `ping`: short questions about the ring.

use anyhow::Result;
use clap::Args;
use clusterluck::control;
use serde_json::{Value, json};

use super::Target;
use crate::client::Session;
use crate::output::Answer;
use crate::render::json;
use crate::render::table::Table;
use crate::render::text::{GOOD, NOTE, STRONG, place, printable};

#[derive(Debug, Args)]
pub(crate) struct Nodes {}

impl Nodes {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let nodes = session.ask(&control::Nodes {}).await?;
        let mut table = Table::new(["id", "address"]);
        for node in &nodes {
            table.row([node.id.as_str().into(), place(node).into()]);
        }
        Ok(Answer::new(nodes.iter().map(json::node).collect::<Value>(), table.to_string()))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    target: Target,
}

impl Get {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let node = session.ask(&control::Get { id: self.target.id.into() }).await?;
        Ok(Answer::new(
            json::node(&node),
            format!("{STRONG}{}{STRONG:#} at {}", printable(&node.id), place(&node)),
        ))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Has {
    #[command(flatten)]
    target: Target,
}

impl Has {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let id = self.target.id;
        let known = session.ask(&control::Has { id: id.to_string() }).await?;
        let text = match known {
            true => format!("{GOOD}yes{GOOD:#}, `{id}` is in the ring of `{}`", session.node_id()),
            false => format!("{NOTE}no{NOTE:#}, `{id}` is not in the ring of `{}`", session.node_id()),
        };
        Ok(Answer::new(json!(known), text))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Weight {
    #[command(flatten)]
    target: Target,
}

impl Weight {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let weight = session.ask(&control::Weight { id: self.target.id.into() }).await?;
        Ok(Answer::new(json!(weight), weight.to_string()))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Weights {}

impl Weights {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let weights = session.ask(&control::Weights {}).await?;
        let mut table = Table::new(["id", ">weight"]);
        for (id, weight) in &weights {
            table.row([id.as_str().into(), weight.to_string().into()]);
        }
        Ok(Answer::new(json!(weights), table.to_string()))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Ping {}

impl Ping {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let answer = session.ask(&control::Ping {}).await?;
        Ok(Answer::new(json!(answer), format!("{GOOD}{answer}{GOOD:#} from `{}`", session.node_id())))
    }
}
