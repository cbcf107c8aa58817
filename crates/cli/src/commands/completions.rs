//! `completions` and `man`: what packagers and shells want.

use anyhow::{Result, bail};
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::output::print_raw;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<()> {
        let mut script = Vec::new();
        let mut offered = Cli::command().mut_subcommand("start", |start| without_hidden(&start));
        clap_complete::generate(self.shell, &mut offered, "clusterluck", &mut script);
        print_raw(&script)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command whose page it is; without one, the page of all
    of_command: Option<String>,
}

impl Man {
    pub(crate) fn run(self) -> Result<()> {
        let mut page = Vec::new();
        clap_mangen::Man::new(documented(self.of_command.as_deref())?).render(&mut page)?;
        print_raw(&page)
    }
}

/// `start` with only those options that people are told of: completions would offer the others too.
fn without_hidden(start: &Command) -> Command {
    let told = start.get_arguments().filter(|argument| !argument.is_hide_set());
    Command::new("start").about(start.get_about().cloned().unwrap_or_default()).args(told)
}

/// The command as its manual page shows it.
fn documented(name: Option<&str>) -> Result<Command> {
    let mut all = Cli::command();
    let Some(name) = name else { return Ok(all) };
    all.build();
    let Some(command) = all.find_subcommand(name) else {
        bail!("`{name}` is no command: `clusterluck --help` lists them");
    };
    // Pages are found by a name without spaces, and options of every command are on the page of all.
    let command = command.clone().display_name(format!("clusterluck-{name}"));
    Ok(command.mut_args(|argument| {
        let hidden = argument.is_hide_set() || argument.is_global_set();
        argument.hide(hidden)
    }))
}
