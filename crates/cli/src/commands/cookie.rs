//! `cookie new`: the secret the nodes of a cluster share.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use crate::args::Options;
use crate::cookie;
use crate::output::Answer;
use crate::render::text::STRONG;

#[derive(Debug, Subcommand)]
pub(crate) enum CookieCommand {
    /// Write a new random cookie to a file that only its owner can read
    New {
        /// Make the cookie of the passphrase in this file instead: the same on every host, and weaker than a random one
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// The file, which must not exist [default: --cookie-file, else the user's own cookie]
        path: Option<PathBuf>,
    },
}

impl CookieCommand {
    pub(crate) fn run(self, options: &Options) -> Result<Answer> {
        let Self::New { path, passphrase_file } = self;
        let path = path.or_else(|| options.cookie_file.clone()).map_or_else(cookie::own_path, Ok)?;
        cookie::write_new(&path, passphrase_file.as_deref())?;
        let shown = path.display();
        Ok(Answer::new(
            json!({"path": shown.to_string()}),
            format!(
                "a new cookie is in {STRONG}{shown}{STRONG:#}: give it to every node, and to nobody else"
            ),
        ))
    }
}
