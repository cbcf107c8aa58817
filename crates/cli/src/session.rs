//! A session: commands for one node, one a line, typed or piped in.
//!
//! Each line connects anew. That takes a few milliseconds, and so a session outlives whatever happens to the node.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, Subcommand};
use etcetera::BaseStrategy;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::Runtime;

use crate::args::Options;
use crate::client::Session;
use crate::commands::NodeCommand;
use crate::completion::Completion;
use crate::output::{Format, print_failure, print_line, print_text, quietly};
use crate::render::text::{FAINT, STRONG};
use crate::usage::in_one_line;

/// A line of a session.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_help_flag = true, subcommand_required = true)]
#[command(help_template = "{subcommands}\n\n`help <command>` says more of one.", max_term_width = 100)]
pub(crate) struct Line {
    #[command(subcommand)]
    command: LineCommand,
}

#[derive(Debug, Subcommand)]
enum LineCommand {
    #[command(flatten)]
    Node(NodeCommand),
    /// End the session
    #[command(visible_alias = "quit")]
    Exit,
}

/// What becomes of the session after a line.
enum Next {
    Line,
    End,
}

/// Runs the session until its input ends or it is told to.
pub(crate) fn run(options: &Options, format: Format, runtime: &Runtime) -> Result<()> {
    if io::stdin().is_terminal() {
        typed(options.clone(), format, runtime)
    } else {
        piped(options, format, runtime)
    }
}

/// Every line is run, whatever became of those before it; one that failed makes the whole a failure.
fn piped(options: &Options, format: Format, runtime: &Runtime) -> Result<()> {
    let mut failed = 0_usize;
    for line in io::stdin().lock().lines() {
        match one(&line.context("cannot read the commands")?, options, format, runtime) {
            Ok(Next::Line) => {}
            Ok(Next::End) => break,
            Err(error) => {
                failed += 1;
                print_failure(&error, format)?;
            }
        }
    }
    // The documents have said it already, and there is to be one for each command.
    if failed > 0 { Err(AlreadySaid.into()) } else { Ok(()) }
}

/// What failed has been printed; only the exit code is left to tell.
#[derive(Debug)]
pub(crate) struct AlreadySaid;

impl std::fmt::Display for AlreadySaid {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("some commands failed")
    }
}

impl std::error::Error for AlreadySaid {}

fn typed(mut options: Options, format: Format, runtime: &Runtime) -> Result<()> {
    let session = runtime.block_on(Session::open(&options, format))?;
    // Should another node take over the address, it is not the one that was meant.
    let node = session.node().clone();
    options.instance = Some(node.id.clone());
    runtime.block_on(session.close());
    print_line(&format!(
        "{STRONG}{}{STRONG:#} at {} answers  {FAINT}`help` lists the commands, ctrl-d ends{FAINT:#}",
        node.id, node.address
    ))?;

    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor: Editor<Completion, FileHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(Completion::new(options.clone(), runtime.handle().clone())));
    let history = history_file();
    if let Some(path) = &history {
        // There is none yet before the first session.
        drop(editor.load_history(path));
    }
    let prompt = format!("{}> ", node.id);
    let ended = loop {
        match editor.readline(&prompt) {
            Ok(line) => match one(&line, &options, format, runtime) {
                Ok(Next::Line) => {}
                Ok(Next::End) => break Ok(()),
                Err(error) => print_failure(&error, format)?,
            },
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break Ok(()),
            Err(error) => break Err(anyhow!(error).context("cannot read from the terminal")),
        }
    };
    if let Some(path) = &history {
        // A session without memory is a session all the same.
        drop(path.parent().map(std::fs::create_dir_all));
        drop(editor.save_history(path));
    }
    ended
}

fn one(line: &str, options: &Options, format: Format, runtime: &Runtime) -> Result<Next> {
    let Some(words) = shlex::split(line) else { bail!("a quote in this line has no end") };
    if words.is_empty() {
        return Ok(Next::Line);
    }
    let command = match Line::try_parse_from(words) {
        Ok(Line { command: LineCommand::Exit }) => return Ok(Next::End),
        Ok(Line { command: LineCommand::Node(command) }) => command,
        Err(error) if !error.use_stderr() => {
            quietly(print_text(&error.render().ansi().to_string()))?;
            return Ok(Next::Line);
        }
        Err(error) => bail!(in_one_line(&error, "help")),
    };
    runtime.block_on(command.run(options, format))?;
    Ok(Next::Line)
}

fn history_file() -> Option<PathBuf> {
    let folders = etcetera::choose_base_strategy().ok()?;
    let folder = folders.state_dir().unwrap_or_else(|| folders.data_dir());
    Some(folder.join("clusterluck").join("history"))
}
