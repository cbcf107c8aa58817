//! `bench cli`: how long a user waits for the command line, and how large it is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;
use serde_json::Value;

use crate::cargo::{self, cargo};
use crate::stopwatch::Stopwatch;

#[derive(clap::Parser)]
#[command(no_binary_name = true, name = "cargo xtask bench cli")]
struct Arguments {
    /// How often each command is run
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Without the demonstration, which takes some seconds
    #[arg(long)]
    no_demo: bool,
}

/// Builds the binary, and prints what of it is promised and what is measured.
pub(super) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let Arguments { runs, no_demo } = clap::Parser::try_parse_from(arguments)?;
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec().context("asking cargo")?;
    cargo::run(cargo(root).args(["build", "--release", "--package", "clusterluck-cli"]))?;
    let target = metadata.target_directory.as_std_path();
    let binary = target.join("release").join("clusterluck");
    let size = fs::metadata(&binary).with_context(|| format!("looking at {}", binary.display()))?.len();
    let folder = target.join("bench-cli");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;

    println!("\n| what | measured | asked | |\n|---|---|---|---|");
    row("the binary, stripped", &format!("{:.1} MB", mega(size)), "≤ 12 MB", size <= 12_000_000);
    {
        let node = Node::start(&binary, &folder)?;
        let alone = times(runs, || run_to_end(Command::new(&binary).arg("--version")))?;
        println!("| a process that prints its version, median, 99 % | {alone} | – | the limit |");
        for command in ["ping", "members", "inspect"] {
            let took = times(runs, || run_to_end(node.command(&binary).arg(command)))?;
            let what = format!("`{command}`, process start and handshake included, median, 99 %");
            row(&what, &took.to_string(), "≤ 30 ms", took.median <= Duration::from_millis(30));
        }
    }
    if !no_demo {
        let output = Command::new(&binary).args(["--json", "demo"]).output().context("running the demo")?;
        ensure!(output.status.success(), "the demo failed: {}", String::from_utf8_lossy(&output.stdout));
        let document: Value = serde_json::from_slice(&output.stdout).context("reading the demo's figures")?;
        let whole = document["data"]["whole_us"].as_u64().context("the demo says how long it took")?;
        let whole = Duration::from_micros(whole);
        row("the demo", &format!("{:.2} s", whole.as_secs_f64()), "≤ 30 s", whole <= Duration::from_secs(30));
    }
    Ok(fs::remove_dir_all(&folder)?)
}

fn row(what: &str, measured: &str, asked: &str, met: bool) {
    println!("| {what} | {measured} | {asked} | {} |", if met { "met" } else { "missed" });
}

/// A node of its own, which ends with its standard input.
struct Node {
    process: Child,
    input: Option<ChildStdin>,
    cookie: PathBuf,
    port: u64,
}

impl Node {
    fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let cookie = folder.join("cookie");
        run_to_end(Command::new(binary).args(["cookie", "new"]).arg(&cookie))?;
        let mut command = Command::new(binary);
        command.args([
            "--json",
            "start",
            "bench",
            "--listen",
            "127.0.0.1:0",
            "--stop-on-eof",
            "--cookie-file",
        ]);
        command.arg(&cookie).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().context("starting a node")?;
        let input = process.stdin.take();
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("its output is piped")?).read_line(&mut line)?;
        let ready: Value =
            serde_json::from_str(&line).context("reading what a node says when it is ready")?;
        let port = ready["data"]["port"].as_u64().context("it says at which port it listens")?;
        Ok(Self { process, input, cookie, port })
    }

    fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        command.arg("-p").arg(self.port.to_string()).arg("--cookie-file").arg(&self.cookie);
        command
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.input.take());
        // It ends by itself; there is nobody to tell if it did not.
        drop(self.process.wait());
    }
}

fn run_to_end(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cargo::show(command))?;
    ensure!(
        output.status.success(),
        "`{}` failed: {}",
        cargo::show(command),
        String::from_utf8_lossy(&output.stdout)
    );
    Ok(())
}

struct Times {
    median: Duration,
    p99: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        write!(formatter, "{:.1} ms, {:.1} ms", millis(self.median), millis(self.p99))
    }
}

fn times(runs: u16, run: impl Fn() -> Result<()>) -> Result<Times> {
    let mut times = Vec::with_capacity(runs.into());
    for _ in 0..runs {
        let stopwatch = Stopwatch::start();
        run()?;
        times.push(stopwatch.passed());
    }
    times.sort_unstable();
    Ok(Times { median: times[times.len() / 2], p99: times[times.len() * 99 / 100] })
}

#[expect(clippy::cast_precision_loss, reason = "a file's size, for people")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
