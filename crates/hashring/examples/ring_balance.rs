//! Draws who owns how much of a ring, before and after a node is added, as bars in the terminal and as two rings in
//! an SVG: `cargo run --example ring_balance [FILE.svg]`.

use std::collections::BTreeMap;
use std::error::Error;
use std::f64::consts::TAU;

use hashring::{Fraction, HashRing, NodeSpec, Op, Plan, TokenRange};
use svg::Document;
use svg::node::element::{Group, Path, Rectangle, Text, path::Data};

const NODES: [&str; 5] = ["ash", "birch", "cedar", "douglas", "elm"];
const NEWCOMER: &str = "fir";
const COLOURS: [&str; 6] = ["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#edc948", "#e15759"];

fn main() -> Result<(), Box<dyn Error>> {
    // Few points a node, so that the picture shows them.
    let nodes = NODES.map(|node| NodeSpec::new(node).weight(12));
    let ring = HashRing::builder().default_weight(12).nodes(nodes).build()?;
    let plan = ring.plan(&[Op::Insert(NodeSpec::new(NEWCOMER).weight(24))])?;

    print_bars(&plan);
    if let Some(file) = std::env::args().nth(1) {
        svg::save(&file, &picture(&plan))?;
        println!("\n{file} shows both rings.");
    }
    Ok(())
}

fn print_bars(plan: &Plan<&'static str>) {
    let before: BTreeMap<&str, Fraction> =
        plan.before().ownerships().map(|(node, share)| (*node, share)).collect();
    println!("node      weight   before    after   ▒ leaves  █ stays  ░ comes");
    for (node, weight) in plan.after().weights() {
        let after = plan.after().ownership(node).unwrap_or_default();
        let before = before.get(node).copied().unwrap_or_default();
        println!("{node:<9} {weight:>6}  {before:>7.1}  {after:>7.1}   {}", bar(before, after));
    }
    println!("\n{:.1} of all keys move, all of them to {NEWCOMER}.", plan.moved());
    for (when, balance) in [("before", plan.balance().0), ("after", plan.balance().1)] {
        if let Some(balance) = balance {
            println!(
                "{when:>6}: loads from {:.2} to {:.2} of what is due by weight",
                balance.min, balance.max
            );
        }
    }
}

/// A character for each percent of the ring.
fn bar(before: Fraction, after: Fraction) -> String {
    let percent = |share: Fraction| (share.as_f64() * 100.0).round() as usize;
    let (before, after) = (percent(before), percent(after));
    let stays = "█".repeat(before.min(after));
    stays + &"▒".repeat(before.saturating_sub(after)) + &"░".repeat(after.saturating_sub(before))
}

fn picture(plan: &Plan<&'static str>) -> Document {
    let paper = Rectangle::new().set("width", 900).set("height", 500).set("fill", "#fff");
    let document =
        Document::new().set("viewBox", (0, 0, 900, 500)).set("font-family", "sans-serif").add(paper);
    let moved = plan.moves().fold(Group::new(), |group, step| {
        group.add(arc(step.range, 168.0, 10.0, step.from.map_or("none", |node| colour(node))))
    });
    let points = format!("{} nodes, {} points", plan.before().len(), plan.before().point_count());
    let moves = format!("{:.1} of all keys moved to {NEWCOMER}:", plan.moved());
    let before = drawing(plan.before(), ["before", &points, ""]);
    let after = drawing(plan.after(), ["after", &moves, "the inner arcs show whose they were"]).add(moved);
    document
        .add(before.set("transform", "translate(225,220)"))
        .add(after.set("transform", "translate(675,220)"))
        .add(legend(plan))
}

/// The colour of each node, and its share before and after.
fn legend(plan: &Plan<&'static str>) -> Group {
    plan.after().nodes().enumerate().fold(Group::new(), |group, (ix, node)| {
        let x = 30 + 145 * ix;
        let share = |ring: &HashRing<&'static str>| ring.ownership(node).unwrap_or_default().as_f64() * 100.0;
        let shares = format!("{:.1} → {:.1} %", share(plan.before()), share(plan.after()));
        let swatch = Path::new().set("d", format!("M{x},450h14v14h-14z")).set("fill", colour(node));
        group.add(swatch).add(label(node, x + 20, 462)).add(label(&shares, x + 20, 482).set("fill", "#555"))
    })
}

fn label(text: &str, x: usize, y: i32) -> Text {
    Text::new(text).set("x", x).set("y", y).set("font-size", 14)
}

/// A ring around the origin: an arc for each range, in the colour of its owner, and some lines in the middle.
fn drawing(ring: &HashRing<&'static str>, lines: [&str; 3]) -> Group {
    let text = (-20..)
        .step_by(22)
        .zip(lines)
        .fold(Group::new(), |group, (y, line)| group.add(label(line, 0, y).set("text-anchor", "middle")));
    ring.nodes().fold(Group::new().add(text), |group, node| {
        ring.ranges_of(node).fold(group, |group, range| group.add(arc(range, 190.0, 26.0, colour(node))))
    })
}

fn arc(range: TokenRange, radius: f64, width: f64, colour: &str) -> Path {
    let angle = |token: hashring::Token| token.get() as f64 / 2_f64.powi(64) * TAU;
    let at = |angle: f64| (radius * angle.sin(), -radius * angle.cos());
    let large = i32::from(range.share().as_f64() > 0.5);
    let (end, (x, y)) = (at(angle(range.through())), at(angle(range.after())));
    let data = Data::new().move_to((x, y)).elliptical_arc_to((radius, radius, 0, large, 1, end.0, end.1));
    Path::new().set("d", data).set("fill", "none").set("stroke", colour).set("stroke-width", width)
}

fn colour(node: &str) -> &'static str {
    let known = NODES.iter().position(|known| *known == node);
    COLOURS[known.unwrap_or(NODES.len())]
}
