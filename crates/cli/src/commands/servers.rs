//! `servers`: the gen_servers on the node.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use clusterluck::control;
use serde_json::{Value, json};

use crate::client::Session;
use crate::output::Answer;
use crate::render::table::Table;
use crate::render::text::{count, span};

#[derive(Debug, Args)]
pub(crate) struct Servers {}

impl Servers {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let servers = session.ask(&control::Servers {}).await?;
        let mut table = Table::new(["name", ">waiting", ">handled", ">uptime"]);
        for server in &servers {
            table.row([
                server.name.as_str().into(),
                count(server.mailbox).into(),
                count(server.handled).into(),
                span(Duration::from_millis(server.uptime_ms)).into(),
            ]);
        }
        let documents = servers.iter().map(|server| {
            json!({
                "name": server.name,
                "mailbox": server.mailbox,
                "handled": server.handled,
                "uptime_ms": server.uptime_ms,
            })
        });
        Ok(Answer::new(documents.collect::<Value>(), table.to_string()))
    }
}
