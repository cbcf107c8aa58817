//! The command tree and the options every command has.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{Args, Parser, Subcommand, ValueHint};
use clusterluck::netkernel::{Address, NodeId};
use zeroize::Zeroizing;

use crate::commands::completions::{Completions, Man};
use crate::commands::cookie::CookieCommand;
use crate::commands::start::Start;
use crate::commands::{LOCAL_HELP, NodeCommand};
use crate::demo::Demo;
use crate::output::Format;

/// Start nodes, inspect and change a running cluster.
#[derive(Debug, Parser)]
#[command(name = "clusterluck", version)]
#[command(after_help = LOCAL_HELP, disable_help_subcommand = false, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What the command line can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Node(NodeCommand),
    /// Run a node with an `echo` server, until interrupted
    Start(Box<Start>),
    /// Form a cluster of five nodes, break it and watch it heal
    Demo(Demo),
    /// Make the secret that the nodes of a cluster share
    #[command(subcommand)]
    Cookie(CookieCommand),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the manual page, or that of one command
    Man(Man),
}

/// Which node to talk to, how, and what to print.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Options {
    /// Id of the node that must answer [default: whichever is there]
    #[arg(short = 'I', long, global = true, value_name = "ID", env = "CLUSTERLUCK_INSTANCE")]
    #[arg(value_hint = ValueHint::Other)]
    pub(crate) instance: Option<NodeId>,

    /// Host of the node
    #[arg(short = 'H', long, global = true, value_name = "HOST", env = "CLUSTERLUCK_HOSTNAME")]
    #[arg(default_value = "127.0.0.1", value_hint = ValueHint::Hostname)]
    pub(crate) hostname: String,

    // Not CLUSTERLUCK_PORT: Kubernetes sets that to a URL in every pod beside a service called `clusterluck`.
    /// Port of the node
    #[arg(short, long, global = true, default_value_t = 7022, env = "CLUSTERLUCK_NODE_PORT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,

    /// The cookie itself; other users can see it in the process list
    #[arg(short = 'a', long, global = true, value_name = "COOKIE", value_hint = ValueHint::Other)]
    pub(crate) key: Option<Key>,

    /// File that holds the cookie, readable by its owner only
    #[arg(long, global = true, value_name = "PATH", env = "CLUSTERLUCK_COOKIE_FILE")]
    pub(crate) cookie_file: Option<PathBuf>,

    /// How long to wait for an answer, such as 500ms, 5s or 1m
    #[arg(long, global = true, value_name = "TIME", default_value = "5s", value_parser = duration)]
    #[arg(env = "CLUSTERLUCK_TIMEOUT", value_hint = ValueHint::Other)]
    pub(crate) timeout: Duration,

    /// Print one JSON document, as is the default when the output is no terminal
    #[arg(long, global = true, conflicts_with = "text")]
    json: bool,

    /// Print for people, even when the output is no terminal
    #[arg(long, global = true)]
    text: bool,

    /// What --json and --text say, unless one of them is given
    #[arg(long, global = true, value_enum, hide_possible_values = true, value_name = "json|text")]
    #[arg(env = OUTPUT)]
    output: Option<Format>,

    /// Print without colours, as with the variable NO_COLOR
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

impl Options {
    /// How to print, if that was said.
    pub(crate) fn format(&self) -> Option<Format> {
        match (self.json, self.text) {
            (true, _) => Some(Format::Json),
            (_, true) => Some(Format::Text),
            _ => self.output,
        }
    }

    /// Where the node is.
    pub(crate) fn address(&self) -> Result<Address> {
        address(&self.hostname, self.port)
    }
}

/// An address given as two words; an IPv6 address may stand in brackets, as it does before a port.
pub(crate) fn address(host: &str, port: u16) -> Result<Address> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Address::new(bare, port).map_err(|error| anyhow!("`{host}` cannot be a host: {error}"))
}

/// Holds `json` or `text`.
pub(crate) const OUTPUT: &str = "CLUSTERLUCK_OUTPUT";

/// A cookie given as an option; never shown.
#[derive(Clone)]
pub(crate) struct Key(pub(crate) Zeroizing<String>);

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(..)")
    }
}

/// Reads `500ms`, `5s`, `1m` or a plain number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| TIME_WANTED.to_owned())?;
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        _ => return Err(TIME_WANTED.to_owned()),
    };
    match number.checked_mul(millis).map(Duration::from_millis) {
        Some(time) if !time.is_zero() && time <= TIME_MAX => Ok(time),
        _ => Err(TIME_WANTED.to_owned()),
    }
}

const TIME_WANTED: &str = "give a time from 1ms to 60m, such as 500ms, 5s or 1m";
/// Longer waits are mistakes, and clocks overflow somewhere.
const TIME_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_tree_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_have_units_and_bounds() {
        for (text, millis) in [("500ms", 500), ("5", 5_000), ("5s", 5_000), ("2m", 120_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0", "-1", "1.5s", "5h", "s", "61m", "99999999999999999999"] {
            assert!(duration(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        for line in [["clusterluck", "-p", "7", "ping"], ["clusterluck", "ping", "-p", "7"]] {
            assert_eq!(Cli::try_parse_from(line).unwrap().options.port, 7);
        }
    }

    /// A global option and an argument of one name would silently be one value.
    #[test]
    fn no_argument_takes_the_name_of_a_global_option() {
        let mut cli = Cli::command();
        cli.build();
        let global: Vec<String> = cli
            .get_arguments()
            .filter(|arg| arg.is_global_set())
            .map(|arg| arg.get_id().to_string())
            .collect();
        assert!(global.contains(&"port".to_owned()));
        for command in cli.get_subcommands() {
            for argument in command.get_positionals() {
                assert!(
                    !global.contains(&argument.get_id().to_string()),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        }
    }

    /// A node in a container is set up by its environment alone. What a flag of no value says there is said by another
    /// variable: of the cookie, of the output, and of colours.
    #[test]
    fn every_flag_of_a_node_has_a_variable() {
        let mut cli = Cli::command();
        cli.build();
        let start = cli.find_subcommand("start").expect("there is a command `start`");
        let bare: Vec<&str> = start
            .get_arguments()
            .filter(|argument| !argument.is_hide_set() && argument.get_env().is_none())
            .map(|argument| argument.get_id().as_str())
            .collect();
        assert_eq!(bare, ["key", "json", "text", "no_color", "help"]);
    }

    #[test]
    fn hosts_may_stand_in_brackets() {
        for host in ["::1", "[::1]"] {
            assert_eq!(address(host, 7).unwrap().to_string(), "[::1]:7");
        }
        for host in ["", "[]", "a b"] {
            assert!(address(host, 7).unwrap_err().to_string().contains("cannot be a host"), "{host:?}");
        }
    }

    #[test]
    fn the_flags_of_output_win_over_the_variable() {
        let format = |line: &[&str]| Cli::try_parse_from(line).unwrap().options.format();
        assert_eq!(format(&["clusterluck", "ping"]), None);
        assert_eq!(format(&["clusterluck", "ping", "--output", "json"]), Some(Format::Json));
        assert_eq!(format(&["clusterluck", "--output", "json", "ping", "--text"]), Some(Format::Text));
    }

    #[test]
    fn a_key_is_never_shown() {
        let cli = Cli::try_parse_from(["clusterluck", "-a", "secret", "ping"]).unwrap();
        assert!(!format!("{cli:?}").contains("secret"));
    }
}
