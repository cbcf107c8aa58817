//! Runs measures round by round, prints them, and keeps them for the JSON file.

use std::path::PathBuf;
use std::{env, fs, io};

use serde::Serialize;

use crate::{Better, Measure, Target};

const ROUNDS_MIN: usize = 5;
const ROUNDS_DEFAULT: usize = 7;

/// A run of one binary: its arguments, and what it has measured so far.
pub struct Report {
    json: PathBuf,
    rounds: usize,
    only: Option<String>,
    document: Document,
}

#[derive(Serialize)]
struct Document {
    name: String,
    rounds: usize,
    measures: Vec<MeasureRecord>,
}

#[derive(Serialize)]
struct MeasureRecord {
    name: String,
    unit: String,
    rows: Vec<Row>,
    targets: Vec<TargetRecord>,
}

#[derive(Serialize)]
struct Row {
    contender: String,
    median: f64,
    min: f64,
    max: f64,
    /// Of this contender's figure to the first one's, round by round.
    ratio_to_first: f64,
}

#[derive(Serialize)]
struct TargetRecord {
    target: String,
    measured: f64,
    met: bool,
}

impl Report {
    /// A report whose settings come from the command line, named for the binary.
    ///
    /// # Panics
    ///
    /// On an unknown argument or one without its value, which it names.
    pub fn from_args(name: &str) -> Self {
        let mut json = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target").join(format!("{name}.json"));
        let (mut rounds, mut only) = (ROUNDS_DEFAULT, None);
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
            match arg.as_str() {
                "--json" => json = PathBuf::from(value()),
                "--rounds" => rounds = value().parse().expect("--rounds is a number"),
                "--only" => only = Some(value()),
                _ => panic!("unknown argument {arg}: known are --json PATH, --rounds N, --only TEXT"),
            }
        }
        let rounds = rounds.max(ROUNDS_MIN);
        println!("# {name}: medians of {rounds} interleaved rounds");
        Report {
            json,
            rounds,
            only,
            document: Document { name: name.to_owned(), rounds, measures: Vec::new() },
        }
    }

    /// Whether `--only` lets a measure of this name run: to spare what it takes to prepare one.
    pub fn wants(&self, measure: &str) -> bool {
        self.only.as_ref().is_none_or(|only| measure.contains(only.as_str()))
    }

    /// A line of prose between the tables.
    pub fn note(&self, text: &str) {
        println!("\n{text}");
    }

    /// Samples every contender in turn, round after round; prints the table; returns the medians in the order of
    /// the contenders (empty when `--only` leaves the measure out).
    pub fn run(&mut self, mut measure: Measure<'_>) -> Vec<f64> {
        if !self.wants(&measure.name) {
            return Vec::new();
        }
        let mut samples = vec![Vec::with_capacity(self.rounds); measure.contenders.len()];
        for _ in 0..self.rounds {
            for (contender, samples) in measure.contenders.iter_mut().zip(&mut samples) {
                let known = contender.constant.then(|| samples.first().copied()).flatten();
                samples.push(known.unwrap_or_else(|| (contender.sample)()));
            }
        }
        let record = MeasureRecord::new(&measure, &samples);
        record.print();
        let medians = record.rows.iter().map(|row| row.median).collect();
        self.document.measures.push(record);
        medians
    }

    /// Writes the JSON file.
    ///
    /// # Errors
    ///
    /// When its folder or the file cannot be written.
    pub fn finish(self) -> io::Result<()> {
        if let Some(folder) = self.json.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.json, serde_json::to_vec_pretty(&self.document)?)?;
        println!("\nJSON: {}", self.json.display());
        Ok(())
    }
}

impl MeasureRecord {
    fn new(measure: &Measure<'_>, samples: &[Vec<f64>]) -> Self {
        let ratio = |ix: usize, to: usize| {
            median(samples[ix].iter().zip(&samples[to]).map(|(sample, other)| sample / other).collect())
        };
        let rows = measure.contenders.iter().enumerate().map(|(ix, contender)| Row {
            contender: contender.name.clone(),
            median: median(samples[ix].clone()),
            min: samples[ix].iter().copied().fold(f64::INFINITY, f64::min),
            max: samples[ix].iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ratio_to_first: ratio(ix, 0),
        });
        let sign = if measure.better == Better::Lower { "≤" } else { "≥" };
        let targets = measure.targets.iter().filter_map(|target| {
            let (text, measured, wanted) = match target {
                Target::Figure(wanted) => (
                    format!("{sign} {} {}", figure(*wanted), measure.unit),
                    median(samples[0].clone()),
                    *wanted,
                ),
                Target::Ratio(name, wanted) => {
                    let to = measure.contenders.iter().position(|contender| contender.name == *name)?;
                    (format!("{sign} {} × {name}", figure(*wanted)), ratio(0, to), *wanted)
                }
            };
            let met = if measure.better == Better::Lower { measured <= wanted } else { measured >= wanted };
            Some(TargetRecord { target: text, measured, met })
        });
        MeasureRecord {
            name: measure.name.clone(),
            unit: measure.unit.clone(),
            rows: rows.collect(),
            targets: targets.collect(),
        }
    }

    fn print(&self) {
        println!("\n## {}\n", self.name);
        println!("| contender | {} | min – max | × ours |", self.unit);
        println!("|---|---:|---:|---:|");
        for row in &self.rows {
            println!(
                "| {} | {} | {} – {} | {} |",
                row.contender,
                figure(row.median),
                figure(row.min),
                figure(row.max),
                figure(row.ratio_to_first)
            );
        }
        if !self.targets.is_empty() {
            println!();
        }
        for target in &self.targets {
            let verdict = if target.met { "met" } else { "MISSED" };
            println!("target {}: {} — {verdict}", target.target, figure(target.measured));
        }
    }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    if samples.len() % 2 == 1 { samples[middle] } else { f64::midpoint(samples[middle - 1], samples[middle]) }
}

/// Three significant digits, with separators for thousands.
fn figure(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || !magnitude.is_finite() {
        return format!("{value}");
    }
    if magnitude < 1_000.0 {
        let decimals = usize::try_from(2 - magnitude.log10().floor() as i32).unwrap_or(0);
        return format!("{value:.decimals$}");
    }
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.split_at(usize::from(value < 0.0));
    let mut out = String::from(sign);
    for (ix, digit) in digits.chars().enumerate() {
        if ix > 0 && (digits.len() - ix) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits_and_group_thousands() {
        assert_eq!(figure(0.012_345), "0.0123");
        assert_eq!(figure(8.714), "8.71");
        assert_eq!(figure(120.84), "121");
        assert_eq!(figure(2_300_000.4), "2,300,000");
        assert_eq!(figure(0.0), "0");
    }

    #[test]
    fn a_target_is_a_figure_or_a_ratio_to_a_contender() {
        let mut measure =
            Measure::new("m", "ns").target(Target::figure(2.0)).target(Target::ratio_to("b", 0.4));
        measure.constant("a", 2.0);
        measure.constant("b", 4.0);
        let record = MeasureRecord::new(&measure, &[vec![2.0; 5], vec![4.0; 5]]);
        assert!(record.targets[0].met);
        assert!(!record.targets[1].met);
        assert!((record.rows[1].ratio_to_first - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_median_of_an_even_count_is_the_middle_of_two() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
    }
}
