//! A session: commands for one node, one a line, typed or piped in.
//!
//! Each line connects anew. That takes a few milliseconds, and so a session outlives whatever happens to the node.

use std::fmt;
use std::io::{self, BufRead, IsTerminal};
use std::iter;
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
use crate::output::{Format, is_unread, note, print_failure, print_line, print_text};
use crate::render::text::{FAINT, STRONG};
use crate::signals::Signals;
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
    /// An interrupt has ended what never ends by itself.
    LineUnlessInterrupted,
    End,
}

/// An interrupt came while a command was under way.
#[derive(Debug)]
struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("interrupted: a change may or may not have been carried out")
    }
}

impl std::error::Error for Interrupted {}

/// Runs the session until its input ends or it is told to.
pub(crate) fn run(options: &Options, format: Format, runtime: &Runtime) -> Result<()> {
    if io::stdin().is_terminal() {
        typed(options.clone(), format, runtime)
    } else {
        piped(options, format, runtime)
    }
}

/// Every line is run, whatever became of those before it; one that failed makes the whole a failure. An interrupt is
/// meant for all of them, and nothing is run for a reader that has gone away.
fn piped(options: &Options, format: Format, runtime: &Runtime) -> Result<()> {
    let mut failed = 0_usize;
    for line in io::stdin().lock().split(b'\n') {
        let line = String::from_utf8(line.context("cannot read the commands")?);
        let ran =
            line.context("this line is not UTF-8").and_then(|line| one(&line, options, format, runtime));
        match ran {
            Ok(Next::Line) => {}
            Ok(Next::End | Next::LineUnlessInterrupted) => break,
            Err(error) if is_unread(&error) => return Err(error),
            Err(error) => {
                failed += 1;
                print_failure(&error, format)?;
                if error.is::<Interrupted>() {
                    break;
                }
            }
        }
    }
    // The documents have said it already, and there is to be one for each command.
    if failed > 0 { Err(AlreadySaid.into()) } else { Ok(()) }
}

/// What failed has been printed; only the exit code is left to tell.
#[derive(Debug)]
pub(crate) struct AlreadySaid;

impl fmt::Display for AlreadySaid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    // A session without memory is a session all the same.
    let history = history_file();
    if let Some(path) = &history {
        drop(path.parent().map(std::fs::create_dir_all));
        drop(editor.load_history(path));
    }
    let prompt = format!("{}> ", node.id);
    loop {
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(anyhow!(error).context("cannot read from the terminal")),
        };
        if let Some(path) = &history {
            // At once and behind what is there: other sessions add to it too, and this one may be killed.
            drop(editor.append_history(path));
        }
        match one(&line, &options, format, runtime) {
            Ok(Next::Line | Next::LineUnlessInterrupted) => {}
            Ok(Next::End) => return Ok(()),
            Err(error) => {
                if error.is::<Interrupted>() {
                    // The terminal has shown the key that was pressed.
                    note("");
                }
                print_failure(&error, format)?;
            }
        }
    }
}

fn one(line: &str, options: &Options, format: Format, runtime: &Runtime) -> Result<Next> {
    let Some(words) = shlex::split(line) else { bail!("a quote in this line has no end") };
    if words.is_empty() {
        return Ok(Next::Line);
    }
    match Line::try_parse_from(asking_for_help(words)) {
        Ok(Line { command: LineCommand::Exit }) => Ok(Next::End),
        Ok(Line { command: LineCommand::Node(watch @ NodeCommand::Watch(_)) }) => {
            runtime.block_on(watch.run(options, format))?;
            Ok(Next::LineUnlessInterrupted)
        }
        Ok(Line { command: LineCommand::Node(command) }) => {
            runtime.block_on(async {
                let mut interrupts = Signals::interrupts()?;
                tokio::select! {
                    () = interrupts.next() => Err(Interrupted.into()),
                    ran = command.run(options, format) => ran,
                }
            })?;
            Ok(Next::Line)
        }
        Err(error) if !error.use_stderr() => {
            print_text(&error.render().ansi().to_string())?;
            Ok(Next::Line)
        }
        Err(error) => bail!(in_one_line(&error, "help")),
    }
}

/// A line with `--help` in it, as `help` would have it.
fn asking_for_help(words: Vec<String>) -> Vec<String> {
    let mut options = words.iter().take_while(|word| *word != "--");
    if !options.any(|word| word == "--help" || word == "-h") {
        return words;
    }
    let command = words.into_iter().take_while(|word| !word.starts_with('-')).take(1);
    iter::once("help".to_owned()).chain(command).collect()
}

fn history_file() -> Option<PathBuf> {
    let folders = etcetera::choose_base_strategy().ok()?;
    let folder = folders.state_dir().unwrap_or_else(|| folders.data_dir());
    Some(folder.join("clusterluck").join("history"))
}
