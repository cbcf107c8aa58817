//! The `clusterluck` command line: start nodes, inspect and change a running cluster.
//!
//! ```text
//! clusterluck demo                          five nodes, one killed, all in one command
//! clusterluck start n1                      a node on 127.0.0.1:7022, with a cookie made for this user
//! clusterluck inspect                       what its ring looks like
//! clusterluck start n2 --listen 127.0.0.1:7023 --meet 127.0.0.1:7022
//! clusterluck watch                         what happens, as it happens
//! clusterluck --json members | jq           for programs
//! ```
//!
//! Every command but `start`, `demo` and those that only print is carried out by the control server of one node,
//! over a session that the cookie authenticates. What it answers is printed for people on a terminal, and as one
//! JSON document otherwise.
//!
//! It is not a monitor, and holds no state: two runs know nothing of each other but the user's cookie file.
//!
//! Modules: [`args`] is the command tree, [`commands`] what each does, [`client`] the session with a node, [`cookie`]
//! where the secret comes from, [`output`] and [`render`] what is printed, [`demo`] the demonstration, [`echo`] the
//! server that stock nodes run, [`exporter`] what Prometheus collects from them.

mod args;
mod client;
mod clock;
mod commands;
mod completion;
mod cookie;
mod demo;
mod echo;
mod exporter;
mod output;
mod render;
mod seeds;
mod session;
mod signals;
mod through;
mod usage;

use std::env;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Cli, Command};
use crate::output::{Format, print_failure};

fn main() -> ExitCode {
    let cli = match usage::parse() {
        Ok(cli) => cli,
        Err(ended) => return ended,
    };
    // The demonstration tells a story, which is for people unless a program asks for its figures.
    let story = matches!(cli.command, Some(Command::Demo(_)));
    let unless_said = || if story { Format::Text } else { Format::of_the_reader() };
    let format = cli.options.format().unwrap_or_else(unless_said);
    if cli.options.no_color {
        output::without_colours();
    }
    match run(cli, format) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_unread(&error) => ExitCode::SUCCESS,
        Err(error) if error.is::<session::AlreadySaid>() => ExitCode::FAILURE,
        Err(error) => {
            // Where nothing can be written, the exit code has to say it.
            drop(print_failure(&error, format));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli, format: Format) -> Result<()> {
    let options = &cli.options;
    match cli.command {
        None => {
            log("off")?;
            // Not a current-thread runtime: completion asks the node from within the line editor, by its handle.
            session::run(options, format, &runtime(Builder::new_multi_thread())?)
        }
        Some(Command::Node(command)) => {
            log("off")?;
            on(Builder::new_current_thread(), command.run(options, format))
        }
        Some(Command::Start(start)) => {
            log("info")?;
            // All that a stock node does fits one thread many times over, and waking a second for each message of an
            // idle cluster would cost more than the message.
            on(Builder::new_current_thread(), start.run(options, format))
        }
        Some(Command::Demo(demo)) => {
            log("off")?;
            on(Builder::new_multi_thread(), demo.run(format))
        }
        Some(Command::Cookie(command)) => command.run(options)?.print(format),
        Some(Command::Completions(completions)) => completions.run(),
        Some(Command::Man(man)) => man.run(),
    }
}

fn runtime(mut builder: Builder) -> Result<Runtime> {
    builder.enable_all().build().context("cannot start the runtime")
}

fn on(builder: Builder, work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = runtime(builder)?;
    let result = runtime.block_on(work);
    // Whatever still runs by now is a blocked read of standard input: nothing to wait for.
    runtime.shutdown_timeout(Duration::ZERO);
    result
}

/// Shows what happens inside on standard error, as far as `CLUSTERLUCK_LOG` says.
fn log(unless_told: &str) -> Result<()> {
    let wanted = env::var_os(LOG).map_or(unless_told.into(), |wanted| wanted.to_string_lossy().into_owned());
    let filter: Targets = wanted.parse().with_context(|| {
        format!("{LOG}=`{wanted}` is no filter: give a level such as `debug`, or `netkernel=trace`")
    })?;
    let colours = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colours);
    // Where standard error is gone, there is nowhere to say so.
    tracing_subscriber::registry().with(lines.log_internal_errors(false)).with(filter).init();
    Ok(())
}

const LOG: &str = "CLUSTERLUCK_LOG";
