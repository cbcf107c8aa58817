//! What the tab key offers in a session: commands, their options, and the ids of the nodes there are.

use std::time::Duration;

use clap::{Command, CommandFactory};
use clusterluck::control::Nodes;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use tokio::runtime::Handle;

use crate::args::Options;
use crate::client::Session;
use crate::output::Format;
use crate::session::Line;

/// Completes words of a line.
pub(crate) struct Completion {
    commands: Command,
    options: Options,
    runtime: Handle,
}

impl Completion {
    pub(crate) fn new(options: Options, runtime: Handle) -> Self {
        let mut commands = Line::command();
        commands.build();
        Self { commands, options, runtime }
    }

    /// What may stand where the line ends, whatever of it is there already.
    fn candidates(&self, words: &[&str]) -> Vec<String> {
        match words {
            [] | ["help"] => {
                self.commands.get_subcommands().map(|command| command.get_name().to_owned()).collect()
            }
            [name, ..] => {
                let Some(command) = self.commands.find_subcommand(name) else { return Vec::new() };
                let takes_ids =
                    command.get_positionals().any(|argument| TAKE_IDS.contains(&argument.get_id().as_str()));
                let ids = if takes_ids { self.node_ids() } else { Vec::new() };
                flags(command).chain(ids).collect()
            }
        }
    }

    /// The ids the node knows now; none if it takes longer than a typist would wait.
    fn node_ids(&self) -> Vec<String> {
        let asked = async {
            let session = Session::open(&self.options, Format::Text).await?;
            let nodes = session.ask(&Nodes {}).await;
            session.close().await;
            nodes
        };
        let nodes = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
        nodes.ok().and_then(Result::ok).unwrap_or_default().into_iter().map(|node| node.id).collect()
    }
}

fn flags(command: &Command) -> impl Iterator<Item = String> {
    command.get_arguments().filter_map(|argument| argument.get_long()).map(|name| format!("--{name}"))
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = &line[..at];
        let start = before.rfind(char::is_whitespace).map_or(0, |space| space + 1);
        let words: Vec<&str> = before[..start].split_whitespace().collect();
        let word = &before[start..];
        let fits = |candidate: &String| {
            candidate.starts_with(word) && (word.starts_with('-') || !candidate.starts_with('-'))
        };
        let fitting = self.candidates(&words).into_iter().filter(fits);
        // An id may hold blanks, and the line is read as a shell would.
        let quoted = fitting.filter_map(|candidate| Some(shlex::try_quote(&candidate).ok()?.into_owned()));
        let mut candidates: Vec<String> = quoted.collect();
        candidates.sort();
        if let [only] = candidates.as_mut_slice() {
            // As in a shell: there is nothing to add to this word.
            only.push(' ');
        }
        Ok((start, candidates))
    }
}

impl Helper for Completion {}
impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}

/// Arguments that name members.
const TAKE_IDS: &[&str] = &["id", "nodes", "target"];
const PATIENCE: Duration = Duration::from_millis(500);
