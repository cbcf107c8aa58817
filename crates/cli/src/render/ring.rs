//! The ring drawn for people: who owns how much of it.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use clusterluck::control::{InspectedMember, Inspection};
use unicode_width::UnicodeWidthStr;

use crate::render::text::{BAD, FAINT, STRONG, count, counted, fitted, liveness_style, place, printable};

/// The ring's members, each with a bar as long as its part of all keys, at most `width` columns wide.
pub(crate) fn drawn(ring: &Inspection, width: usize) -> String {
    let mut text = String::new();
    let Some(name) = &ring.ring else {
        return format!(
            "This node is in no ring: {STRONG}clusterluck join <ring>{STRONG:#} puts it in one.\n"
        );
    };
    let points: u64 =
        ring.members.iter().filter(|member| !member.joining).map(|member| u64::from(member.weight)).sum();
    let ring_name = printable(name);
    let (members, points) = (counted(ring.members.len() as u64, "member"), counted(points, "point"));
    let (copies, print) = (ring.replicas, ring.fingerprint.get(..8).unwrap_or_default());
    let ring_name = fitted(&ring_name, ring_name.width().min(RING_NAME_MAX));
    write!(text, "ring {STRONG}{ring_name}{STRONG:#} ").expect("a String takes all");
    let mut used = 6 + ring_name.width();
    let facts = [
        format!("{members},"),
        format!("{points},"),
        format!("{copies} replicas,"),
        format!("fingerprint {print}"),
    ];
    for fact in facts {
        if used + 1 + fact.width() > width {
            text.push_str("\n ");
            used = 1;
        }
        used += 1 + fact.width();
        write!(text, " {FAINT}{fact}{FAINT:#}").expect("a String takes all");
    }
    text.push('\n');
    let columns = Columns::fit(ring, width);
    for (at, member) in ring.members.iter().enumerate() {
        columns.line(member, colour(at), &mut text);
    }
    text
}

/// How wide each part of a line is.
struct Columns {
    id: usize,
    /// None where there is no room for it.
    address: Option<usize>,
    weight: usize,
    bar: usize,
    /// The share that fills a bar: the largest, so that small ones can be told apart.
    full: f64,
}

impl Columns {
    fn fit(ring: &Inspection, width: usize) -> Self {
        let widest = |part: fn(&InspectedMember) -> usize| ring.members.iter().map(part).max().unwrap_or(0);
        let address = widest(|member| place(&member.node).width()).min(ADDRESS_MAX) + GAP;
        let weight = widest(|member| count(member.weight.into()).len());
        // A word and the gap before it, where something is amiss with any.
        let amiss = ring.members.iter().map(amiss).filter(|amiss| !amiss.is_empty());
        let amiss = amiss.map(|amiss| amiss.len() + 2).max().unwrap_or(0);
        let rest = width.saturating_sub(weight + amiss + FRAME);
        let id_max = rest.saturating_sub(BAR_MIN).clamp(1, ID_MAX);
        let id = widest(|member| printable(&member.node.id).width()).min(id_max);
        let rest = rest.saturating_sub(id);
        // Where a node is can be asked for; how much it owns is what this is about.
        let address = Some(address).filter(|address| address + BAR_MIN <= rest);
        Self {
            id,
            address: address.map(|address| address - GAP),
            weight,
            bar: (rest - address.unwrap_or(0).min(rest)).clamp(BAR_MIN, BAR_MAX),
            full: ring.members.iter().map(|member| member.ownership).fold(f64::MIN_POSITIVE, f64::max),
        }
    }

    fn line(&self, member: &InspectedMember, colour: Style, text: &mut String) {
        let mark = if member.connected { "●" } else { "○" };
        let style = if member.connected { liveness_style(&member.liveness) } else { BAD };
        let id = fitted(&printable(&member.node.id), self.id);
        let address = self.address.map(|width| fitted(&place(&member.node), width));
        let address = address.map(|address| format!("{FAINT}{address}{FAINT:#}  ")).unwrap_or_default();
        let bar = match member.joining {
            true => fitted(JOINING, self.bar),
            false => bar(member.ownership / self.full, self.bar),
        };
        let weight = count(member.weight.into());
        writeln!(
            text,
            " {style}{mark}{style:#} {STRONG}{id}{STRONG:#}  {address}{weight:>width$}  {colour}{bar}{colour:#} {share:>5.1} %{amiss}",
            width = self.weight,
            share = member.ownership * 100.0,
            amiss = match amiss(member) {
                "" => String::new(),
                amiss => format!("  {style}{amiss}{style:#}"),
            },
        )
        .expect("a String takes all");
    }
}

/// What keeps calls from this member, in a word.
fn amiss(member: &InspectedMember) -> &str {
    match member.liveness.as_str() {
        "alive" if member.connected => "",
        "alive" => "no link",
        // That it is not heard from yet is said where its share would be.
        "unknown" => "",
        other => other,
    }
}

/// Every point in order: its position and the member that has it.
pub(crate) fn points(ring: &Inspection) -> String {
    let mut text = String::new();
    for (point, member) in &ring.points {
        let id = usize::try_from(*member)
            .ok()
            .and_then(|at| ring.members.get(at))
            .map_or("?", |member| &member.node.id);
        writeln!(text, "{FAINT}{point:016x}{FAINT:#}  {}", printable(id)).expect("a String takes all");
    }
    text
}

/// The colour of the member at this place of the list.
pub(crate) fn colour(at: usize) -> Style {
    COLOURS[at % COLOURS.len()].on_default()
}

/// How wide the terminal is.
pub(crate) fn terminal_columns() -> usize {
    terminal_size::terminal_size().map_or(COLUMNS_UNKNOWN, |(width, _)| usize::from(width.0))
}

/// A bar in eighths of a column, padded to its full width.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of 0 to 1 times a width of at most 40 columns"
)]
fn bar(share: f64, width: usize) -> String {
    let eighths = ((share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize).min(width * 8);
    let mut bar = "█".repeat(eighths / 8);
    bar.push_str(EIGHTHS[eighths % 8]);
    let drawn = eighths.div_ceil(8);
    bar.push_str(&" ".repeat(width - drawn));
    bar
}

const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Magenta,
    AnsiColor::Green,
    AnsiColor::Blue,
    AnsiColor::Red,
];
const JOINING: &str = "not heard from yet";
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const ID_MAX: usize = 20;
const ADDRESS_MAX: usize = 24;
const RING_NAME_MAX: usize = 20;
const GAP: usize = 2;
/// Marks, gaps and the percentage.
const FRAME: usize = 3 + GAP + GAP + 8;
const BAR_MIN: usize = 4;
const BAR_MAX: usize = 40;
/// What to assume of an output that is no terminal.
const COLUMNS_UNKNOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use clusterluck::control::NodeInfo;

    fn ring(shares: &[(&str, f64)]) -> Inspection {
        let member = |(id, ownership): &(&str, f64)| InspectedMember {
            node: NodeInfo { id: (*id).to_owned(), host: "127.0.0.1".to_owned(), port: 65_535 },
            weight: 160,
            ownership: *ownership,
            connected: true,
            liveness: if *ownership > 0.0 { "alive" } else { "unknown" }.to_owned(),
            joining: *ownership <= 0.0,
        };
        Inspection {
            ring: Some("demo".to_owned()),
            default_weight: 160,
            replicas: 3,
            members: shares.iter().map(member).collect(),
            points: Vec::new(),
            fingerprint: "0".repeat(64),
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "x".repeat(255);
        for width in [40, 70, 80, 200] {
            let mut ring = ring(&[("ash", 0.2), (&long, 0.5), ("drained", 0.0)]);
            ring.members[0].liveness = "suspect".to_owned();
            ring.members[1].connected = false;
            ring.ring = Some(long.clone());
            let text = anstream::adapter::strip_str(&drawn(&ring, width)).to_string();
            assert!(text.contains("suspect") && text.contains("no link") && text.contains('█'), "{text}");
            assert_eq!(text.contains("127.0.0.1:65535"), width >= 70, "{text}");
            for line in text.lines() {
                assert!(line.width() <= width, "{} columns: {line:?}", line.width());
            }
        }
    }

    #[test]
    fn bars_are_as_long_as_the_shares() {
        assert_eq!(
            [bar(0.0, 4), bar(0.5, 4), bar(1.0, 4), bar(0.03125, 4)],
            ["    ", "██  ", "████", "▏   "]
        );
    }
}
