//! `info`: the node itself and its links.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use clusterluck::control::{self, LinkInfo, NodeReport};
use serde_json::{Value, json};

use super::members::round_trip;
use crate::client::Session;
use crate::output::Answer;
use crate::render::table::{Cell, Table};
use crate::render::text::{BAD, FAINT, GOOD, STRONG, count, counted, place, printable, span};

#[derive(Debug, Args)]
pub(crate) struct Info {}

impl Info {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        let report = session.ask(&control::Info {}).await?;
        Ok(Answer::new(document(&report), text(&report)))
    }
}

fn text(report: &NodeReport) -> String {
    let node = &report.node;
    let ring = match &report.ring {
        Some(ring) => format!("ring `{}` of {}", printable(ring), counted(report.members, "member")),
        None => "in no ring".to_owned(),
    };
    let mut text = format!(
        "{STRONG}{}{STRONG:#} at {}, {ring}\n{FAINT}clusterluck {}, up {}, incarnation {}{FAINT:#}\n",
        printable(&node.id),
        printable(&place(node)),
        printable(&report.release),
        span(Duration::from_millis(report.uptime_ms)),
        report.incarnation,
    );
    if !report.links.is_empty() {
        let mut table = Table::new([
            "peer",
            "link",
            ">round trip",
            ">sent",
            ">received",
            ">queued",
            ">dropped",
            ">sessions",
        ]);
        for link in &report.links {
            table.row(row(link));
        }
        write!(text, "\n{table}").expect("a String takes all");
    }
    text
}

fn row(link: &LinkInfo) -> [Cell; 8] {
    [
        link.id.as_str().into(),
        if link.connected { Cell::styled("up", GOOD) } else { Cell::styled("down", BAD) },
        round_trip(link.round_trip_us).into(),
        count(link.sent).into(),
        count(link.received).into(),
        count(link.queued_messages).into(),
        count(link.dropped).into(),
        count(link.sessions).into(),
    ]
}

fn document(report: &NodeReport) -> Value {
    let link = |link: &LinkInfo| {
        json!({
            "id": link.id,
            "role": link.role,
            "connected": link.connected,
            "round_trip_us": link.round_trip_us,
            "queued_messages": link.queued_messages,
            "queued_bytes": link.queued_bytes,
            "sent": link.sent,
            "received": link.received,
            "dropped": link.dropped,
            "sessions": link.sessions,
        })
    };
    json!({
        "id": report.node.id,
        "host": report.node.host,
        "port": report.node.port,
        "incarnation": report.incarnation,
        "release": report.release,
        "ring": report.ring,
        "members": report.members,
        "uptime_ms": report.uptime_ms,
        "links": report.links.iter().map(link).collect::<Value>(),
    })
}
