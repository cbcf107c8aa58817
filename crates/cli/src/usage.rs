//! Reads the command line, and says in one line what is wrong with it.

use std::env;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches};

use crate::args::{Cli, OUTPUT};
use crate::output::{Format, print_failure, print_line, without_colours};

/// What was asked for; or how the program ends at once, everything being said.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let parsed = Cli::command().try_get_matches().and_then(|matches| {
        reject_two_cookies(&matches)?;
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
            match print_line(&error.render().ansi().to_string()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    drop(print_failure(&error, Format::Text));
                    ExitCode::FAILURE
                }
            }
        }
        _ => {
            let variable = env::var(OUTPUT).unwrap_or_default();
            let format = match (given("--json"), given("--text"), variable.as_str()) {
                (true, _, _) | (_, false, "json") => Format::Json,
                (_, true, _) | (_, _, "text") => Format::Text,
                _ => Format::of_the_reader(),
            };
            drop(print_failure(&anyhow!(from_its_place(error)), format));
            ExitCode::FAILURE
        }
    }
}

/// Of two cookies that were typed one is not meant. One in a variable gives way to what is typed.
fn reject_two_cookies(matches: &ArgMatches) -> Result<(), clap::Error> {
    let matches = matches.subcommand().map_or(matches, |(_, command)| command);
    let typed = |option| matches.value_source(option) == Some(ValueSource::CommandLine);
    if typed("key") && typed("cookie_file") {
        let message = "--key cannot be used with --cookie-file: give one of them";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
    }
    Ok(())
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

/// The error in one line, which names the variable if what is wrong stands in one.
fn from_its_place(error: &clap::Error) -> String {
    let wrong = in_one_line(error, "clusterluck --help");
    let mut cli = Cli::command();
    cli.build();
    let variables = cli.get_arguments().chain(cli.get_subcommands().flat_map(Command::get_arguments));
    let mut variables = variables.filter_map(|argument| {
        let variable = argument.get_env()?;
        Some((argument.to_string(), variable.to_string_lossy(), env::var_os(variable)?))
    });
    if error.kind() == ErrorKind::InvalidUtf8 {
        if let Some(word) = env::args_os().find(|word| word.to_str().is_none()) {
            return format!("`{}` is not UTF-8", word.to_string_lossy());
        }
        let other = variables.find(|(_, _, value)| value.to_str().is_none());
        return other.map_or(wrong, |(_, variable, _)| format!("the variable {variable} is not UTF-8"));
    }
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(said)) => Some(said.as_str()),
        _ => None,
    };
    let Some(argument) = said(ContextKind::InvalidArg) else { return wrong };
    let value = said(ContextKind::InvalidValue).unwrap_or_default();
    let typed = env::args_os().skip(1).any(|word| {
        let word = word.to_string_lossy();
        if value.is_empty() { word.is_empty() || word.ends_with('=') } else { word.contains(value) }
    });
    let set = variables.find(|(name, _, set)| name == argument && set.to_string_lossy().contains(value));
    match set {
        Some((_, variable, _)) if !typed => format!("the variable {variable}: {wrong}"),
        _ => wrong,
    }
}

/// How this program was called, and can be again: from a checkout, whoever runs it by way of cargo has none installed.
pub(crate) fn program() -> String {
    let called = env::args_os().next().and_then(|called| called.into_string().ok());
    let quoted = called.as_deref().and_then(|called| shlex::try_quote(called).ok());
    quoted.map_or_else(|| "clusterluck".to_owned(), Into::into)
}

/// The error, and what comes near to what was written, or the command that `lists` what there is.
pub(crate) fn in_one_line(error: &clap::Error, lists: &str) -> String {
    let text = error.to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // What clap says is the whole help.
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or_default();
        return format!("what to do is missing in `{usage}`: with --help it lists what there is");
    }
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
