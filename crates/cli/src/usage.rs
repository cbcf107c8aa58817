//! Reads the command line, and says in one line what is wrong with it.

use std::env;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::args::{Cli, OUTPUT};
use crate::output::{Format, print_failure, print_text, without_colours};

/// What was asked for; or how the program ends at once, everything being said.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        reject_what_says_nothing(&matches)?;
        Cli::from_arg_matches(&matches)
    });
    parsed.map_err(|error| ended(&error))
}

/// Prints help or what is wrong. There are no options yet to say how.
fn ended(error: &clap::Error) -> ExitCode {
    let given = |flag: &str| env::args_os().any(|word| word == flag);
    if given("--no-color") {
        without_colours();
    }
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            said(print_text(&error.render().ansi().to_string()))
        }
        _ => {
            let variable = env::var(OUTPUT).unwrap_or_default();
            let format = match (given("--json"), given("--text"), variable.as_str()) {
                (true, _, _) | (_, false, "json") => Format::Json,
                (_, true, _) | (_, _, "text") => Format::Text,
                _ => Format::of_the_reader(),
            };
            drop(print_failure(&anyhow!(in_one_line(error, "clusterluck --help")), format));
            ExitCode::FAILURE
        }
    }
}

fn said(printed: std::io::Result<()>) -> ExitCode {
    match crate::output::quietly(printed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Which node to talk to says nothing to a node that starts: most likely its own address was meant.
fn reject_what_says_nothing(matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some(("start", start)) = matches.subcommand() else { return Ok(()) };
    for (option, flag) in [("instance", "-I"), ("hostname", "-H"), ("port", "-p")] {
        if start.value_source(option) == Some(ValueSource::CommandLine) {
            let message =
                format!("{flag} is for talking to a node: `start` listens where --listen <host:port> says");
            return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
        }
    }
    Ok(())
}

/// The error, and what comes near to what was written, or the command that `lists` what there is.
pub(crate) fn in_one_line(error: &clap::Error, lists: &str) -> String {
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let wrong = paragraph.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    let nearest = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| match error.get(kind)? {
            ContextValue::String(nearest) => Some(nearest.clone()),
            // The last of them is the nearest.
            ContextValue::Strings(nearest) => nearest.last().cloned(),
            _ => None,
        });
    match nearest {
        Some(nearest) => format!("{wrong}: did you mean `{nearest}`?"),
        None if error.kind() == ErrorKind::InvalidSubcommand => {
            format!("{wrong}: `{lists}` lists the commands")
        }
        None => wrong,
    }
}
