//! Runs measures round by round, prints them, and keeps them for the JSON file.

use std::path::PathBuf;
use std::{env, fs, io};

use serde::Serialize;

use crate::{Better, Measure, Target};

const ROUNDS_MIN: usize = 5;
const ROUNDS_DEFAULT: usize = 7;
const ARGUMENTS: &str = "--json PATH, --rounds N, --only TEXT, --contender TEXT";

/// A run of one binary: its arguments, and what it has measured so far.
pub struct Report {
    json: PathBuf,
    rounds: usize,
    only: Option<String>,
    contender: Option<String>,
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
    /// The contenders without a row.
    failed: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    contender: String,
    why: String,
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
        let (mut rounds, mut only, mut contender) = (ROUNDS_DEFAULT, None, None);
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
            match arg.as_str() {
                "--json" => json = PathBuf::from(value()),
                "--rounds" => rounds = value().parse().expect("--rounds is a number"),
                "--only" => only = Some(value()),
                "--contender" => contender = Some(value()),
                _ => panic!("unknown argument {arg}: known are {ARGUMENTS}"),
            }
        }
        let rounds = rounds.max(ROUNDS_MIN);
        println!("# {name}: medians of {rounds} interleaved rounds");
        Report {
            json,
            rounds,
            only,
            contender,
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

    /// Samples every contender in turn, round after round, and prints the table. One that fails is not asked again: a
    /// note under the table, and the JSON, say why it has no row.
    ///
    /// # Panics
    ///
    /// When the first contender, which is ours, fails.
    pub fn run(&mut self, mut measure: Measure<'_>) {
        if !self.wants(&measure.name) {
            return;
        }
        if let Some(text) = &self.contender {
            let ours = measure.contenders.first().map(|contender| contender.name.clone());
            measure.contenders.retain(|contender| {
                Some(&contender.name) == ours.as_ref() || contender.name.contains(text.as_str())
            });
        }
        let (samples, failed) = sampled(&mut measure, self.rounds);
        let record = MeasureRecord::new(&measure, &samples, failed);
        record.print();
        self.document.measures.push(record);
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

/// The samples of the contenders that are left, and those that failed.
fn sampled(measure: &mut Measure<'_>, rounds: usize) -> (Vec<Vec<f64>>, Vec<Failure>) {
    let mut samples = vec![Vec::with_capacity(rounds); measure.contenders.len()];
    let mut failed = Vec::new();
    for _ in 0..rounds {
        let mut ix = 0;
        while ix < measure.contenders.len() {
            let contender = &mut measure.contenders[ix];
            let known = contender.constant.then(|| samples[ix].first().copied()).flatten();
            match known.map_or_else(|| (contender.sample)(), Ok) {
                Ok(sample) => {
                    samples[ix].push(sample);
                    ix += 1;
                }
                Err(why) => {
                    assert!(ix > 0, "{} failed: {why}", contender.name);
                    samples.remove(ix);
                    failed.push(Failure { contender: measure.contenders.remove(ix).name, why });
                }
            }
        }
    }
    (samples, failed)
}

impl MeasureRecord {
    fn new(measure: &Measure<'_>, samples: &[Vec<f64>], failed: Vec<Failure>) -> Self {
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
            failed,
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
        for Failure { contender, why } in &self.failed {
            println!("\n{contender} — failed: {why}");
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
        let record = MeasureRecord::new(&measure, &[vec![2.0; 5], vec![4.0; 5]], Vec::new());
        assert!(record.targets[0].met);
        assert!(!record.targets[1].met);
        assert!((record.rows[1].ratio_to_first - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_peer_that_fails_once_has_no_row_and_is_not_asked_again() {
        let mut asked = 0;
        let mut measure = Measure::new("m", "ns").target(Target::ratio_to("lost", 0.4));
        measure.contender("ours", || 2.0);
        measure.peer("lost", || {
            asked += 1;
            if asked == 2 { Err("a call is lost".to_owned()) } else { Ok(1.0) }
        });
        measure.peer("well", || Ok(4.0));
        let (samples, failed) = sampled(&mut measure, 5);
        let record = MeasureRecord::new(&measure, &samples, failed);
        drop(measure);
        assert_eq!(asked, 2);
        assert_eq!(
            record.rows.iter().map(|row| row.contender.as_str()).collect::<Vec<_>>(),
            ["ours", "well"]
        );
        assert!((record.rows[1].ratio_to_first - 2.0).abs() < 1e-9);
        assert_eq!((&*record.failed[0].contender, &*record.failed[0].why), ("lost", "a call is lost"));
        assert!(record.targets.is_empty(), "nothing is said of a figure that is not there");
    }

    #[test]
    #[should_panic(expected = "ours failed: it is slow")]
    fn a_failure_of_ours_ends_the_run() {
        let mut measure = Measure::new("m", "ns");
        measure.peer("ours", || Err("it is slow".to_owned()));
        sampled(&mut measure, 5);
    }

    #[test]
    fn the_median_of_an_even_count_is_the_middle_of_two() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
    }
}
