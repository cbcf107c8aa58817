//! The workspace's automation: `cargo xtask <command>`.

mod bench;
mod cargo;
mod ci;
mod deep;
mod no_std;
mod sim;
mod steps;
mod stopwatch;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Automation of the clusterluck workspace")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The whole gate: formatting, lints, documentation, house rules, tests, packaging
    Ci,
    /// The house rules alone
    Tidy,
    /// Whether the crates' own messages are what `wire.lock` says
    Wire {
        /// Write the lock anew, unless something would be misread by another release
        #[arg(long)]
        update: bool,
    },
    /// Whether vclock and hashring really need no standard library
    NoStd,
    /// Run a benchmark: `bench <name> [arguments…]`
    Bench(bench::Arguments),
    /// Run the gossip simulator; arguments are its own, `--help` lists them
    #[command(disable_help_flag = true)]
    Sim(sim::Arguments),
    /// A long run, its result recorded in docs/deep-runs.md
    Deep(deep::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let root = cargo::root()?;
    match command {
        Command::Ci => ci::run(&root),
        Command::Tidy => tidy::run(&root),
        Command::Wire { update } => tidy::wire(&root, update),
        Command::NoStd => no_std::run(&root),
        Command::Bench(arguments) => bench::run(&root, &arguments),
        Command::Sim(arguments) => sim::run(&root, &arguments),
        Command::Deep(arguments) => deep::run(&root, &arguments),
    }
}
