//! `completions` and `man`: what packagers and shells want.

use std::io::{self, Write};

use anyhow::{Result, bail};
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::output::quietly;

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "clusterluck", &mut script);
        Ok(quietly(io::stdout().write_all(&script))?)
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
        Ok(quietly(io::stdout().write_all(&page))?)
    }
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
        let global = argument.is_global_set();
        argument.hide(global)
    }))
}
