//! `watch`: what happens on the node, as it happens.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use anstyle::Style;
use anyhow::{Context, Result};
use clap::Args;
use clusterluck::control::{self, ClientError, Place, WatchedEvent};
use clusterluck::netkernel::NodeId;
use serde_json::json;

use crate::args::Options;
use crate::client::Session;
use crate::clock::time_of_day;
use crate::output::{self, Format, UNPRINTED, print_text};
use crate::render::text::{BAD, FAINT, GOOD, NOTE, STRONG, printable};
use crate::signals::Signals;

#[derive(Debug, Args)]
pub(crate) struct Watch {}

impl Watch {
    /// Prints events until an interrupt, or until nobody reads them. The node may go and come back meanwhile.
    pub(crate) async fn run(self, options: &Options, format: Format) -> Result<()> {
        let mut interrupts = Signals::interrupts()?;
        tokio::select! {
            () = interrupts.next() => Ok(()),
            () = output::unread() => Ok(()),
            watched = watch(options, format) => watched,
        }
    }
}

async fn watch(options: &Options, format: Format) -> Result<()> {
    let mut session = Session::open(options, format).await?;
    let node = session.node().clone();
    // Should another node take over the address, it is not the one that was meant.
    let mut options = options.clone();
    options.instance = Some(node.id.clone());
    if format == Format::Text {
        output::note(&format!("watching `{}` at {}; ctrl-c ends", node.id, node.address));
    }
    let mut place: Option<Place> = None;
    loop {
        match news(&session, place).await {
            Ok(watched) => {
                if place.is_some_and(|place| place.run != watched.place.run) {
                    print(&own("node_restarted", &node.id, []), format)?;
                }
                if watched.missed > 0 {
                    let missed = ("count", watched.missed.to_string());
                    print(&own("events_missed", &node.id, [missed]), format)?;
                }
                watched.events.iter().try_for_each(|event| print(event, format))?;
                place = Some(watched.place);
            }
            // It will not say anything else next time.
            Err(ClientError::Failure(failure)) => return Err(failure.into()),
            Err(error) => {
                let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                print(&own("connection_lost", &node.id, [("reason", reason)]), format)?;
                session.close().await;
                session = again(&options, format).await;
                print(&own("connection_back", &node.id, []), format)?;
            }
        }
    }
}

async fn news(session: &Session, place: Option<Place>) -> Result<control::Watched, ClientError> {
    let wait_ms = u64::try_from(POLL.as_millis()).unwrap_or(u64::MAX);
    session.ask_within(&control::Watch { from: place, wait_ms }, POLL).await
}

/// A session with the node, however long it takes.
async fn again(options: &Options, format: Format) -> Session {
    let mut wait = FIRST_WAIT;
    loop {
        match Session::open(options, format).await {
            Ok(session) => return session,
            Err(_) => tokio::time::sleep(wait).await,
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Something that happened to the watcher rather than to the node.
fn own<const DETAILS: usize>(event: &str, node: &NodeId, details: [(&str, String); DETAILS]) -> WatchedEvent {
    WatchedEvent {
        age_ms: 0,
        event: event.to_owned(),
        node: Some(node.to_string()),
        details: BTreeMap::from(details.map(|(name, value)| (name.to_owned(), value))),
    }
}

fn print(event: &WatchedEvent, format: Format) -> Result<()> {
    let at = time_of_day(Duration::from_millis(event.age_ms));
    print_text(&match format {
        Format::Json => {
            let data = json!({"at": at, "event": event.event, "node": event.node, "details": event.details});
            json!({"ok": true, "data": data}).to_string()
        }
        Format::Text => line(&at, event),
    })
    .context(UNPRINTED)
}

fn line(at: &str, event: &WatchedEvent) -> String {
    let time = at.get(TIME_OF_DAY).unwrap_or(at);
    let (style, name) = (style(&event.event), printable(&event.event.replace('_', " ")));
    let node = printable(event.node.as_deref().unwrap_or_default());
    let details = event.details.iter().map(|(name, value)| {
        // As much of it as `inspect` shows.
        let value = if name == "fingerprint" { value.get(..8).unwrap_or(value) } else { value };
        printable(&format!("{name}={value}"))
    });
    let details = details.collect::<Vec<_>>().join(" ");
    let details = if details.is_empty() { details } else { format!("  {FAINT}{details}{FAINT:#}") };
    format!("{FAINT}{time}{FAINT:#}  {style}{name:<18}{style:#}  {STRONG}{node}{STRONG:#}{details}")
}

fn style(event: &str) -> Style {
    match event {
        "link_up" | "member_up" | "converged" | "connection_back" | "member_trusted"
        | "majority_reachable" => GOOD,
        "link_down" | "link_unreachable" | "member_left" | "member_removed" | "member_down" | "evicted"
        | "connection_lost" | "not_stored" | "duplicate_id" | "minority_partition" => BAD,
        _ => NOTE,
    }
}

/// Where the time of day stands in a date with time.
const TIME_OF_DAY: std::ops::Range<usize> = 11..23;
/// How long one question for news stays open.
const POLL: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
