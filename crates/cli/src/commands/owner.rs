//! `owner`: who holds a key.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use clusterluck::control;
use serde_json::Value;

use crate::client::Session;
use crate::output::Answer;
use crate::render::json;
use crate::render::table::Table;
use crate::render::text::place;

#[derive(Debug, Args)]
pub(crate) struct Owner {
    /// The key, whatever its bytes are
    #[arg(value_name = "KEY")]
    of_key: OsString,
    /// How many nodes to name: the owner, then those that stand in for it
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    replicas: u32,
}

impl Owner {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let command = control::Owner { key: self.of_key.into_encoded_bytes(), replicas: self.replicas };
        let holders = session.ask(&command).await?;
        let mut table = Table::new(["role", "id", "address"]);
        for (at, node) in holders.iter().enumerate() {
            let role = if at == 0 { "owner".to_owned() } else { format!("replica {at}") };
            table.row([role.into(), node.id.as_str().into(), place(node).into()]);
        }
        Ok(Answer::new(holders.iter().map(json::node).collect::<Value>(), table.to_string()))
    }
}
