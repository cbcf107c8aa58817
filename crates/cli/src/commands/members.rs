//! `members`: all that is known of each.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use clusterluck::control::{self, MemberInfo};
use serde_json::{Value, json};

use crate::client::Session;
use crate::output::Answer;
use crate::render::table::{Cell, Table};
use crate::render::text::{BAD, GOOD, liveness_style, place, time};

#[derive(Debug, Args)]
pub(crate) struct Members {}

impl Members {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let members = session.ask(&control::Members {}).await?;
        let mut table = Table::new([
            "id",
            "address",
            "status",
            "liveness",
            "link",
            ">weight",
            "zone",
            ">round trip",
            "tags",
        ]);
        for member in &members {
            table.row(row(member));
        }
        Ok(Answer::new(members.iter().map(document).collect::<Value>(), table.to_string()))
    }
}

fn row(member: &MemberInfo) -> [Cell; 9] {
    let tags: Vec<String> = member.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    [
        member.node.id.as_str().into(),
        place(&member.node).into(),
        member.status.as_str().into(),
        match member.status.as_str() {
            // Nobody has heard from it, so nobody can tell.
            "joining" => "-".into(),
            _ => Cell::styled(&member.liveness, liveness_style(&member.liveness)),
        },
        if member.connected { Cell::styled("up", GOOD) } else { Cell::styled("down", BAD) },
        member.weight.to_string().into(),
        member.zone.as_deref().unwrap_or("-").into(),
        round_trip(member.round_trip_us).into(),
        tags.join(",").into(),
    ]
}

fn document(member: &MemberInfo) -> Value {
    json!({
        "id": member.node.id,
        "host": member.node.host,
        "port": member.node.port,
        "status": member.status,
        "liveness": member.liveness,
        "connected": member.connected,
        "incarnation": member.incarnation,
        "weight": member.weight,
        "zone": member.zone,
        "version": member.version,
        "round_trip_us": member.round_trip_us,
        "tags": member.tags,
    })
}

pub(super) fn round_trip(micros: Option<u64>) -> String {
    micros.map_or("-".to_owned(), |micros| time(Duration::from_micros(micros)))
}
