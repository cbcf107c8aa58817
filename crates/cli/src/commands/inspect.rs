//! `inspect`: the ring.

use anyhow::Result;
use clap::Args;
use clusterluck::control;

use crate::client::Session;
use crate::output::{Answer, Format};
use crate::render::{json, ring};

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// List every point instead of drawing the ring
    #[arg(long)]
    points: bool,
}

impl Inspect {
    pub(super) async fn run(self, session: &Session) -> Result<Answer> {
        // A program gets the whole tree, as from the original; for a drawing the shares are enough.
        let points = self.points || session.format == Format::Json;
        let inspection = session.ask(&control::Inspect { points }).await?;
        let text = match self.points {
            true => ring::points(&inspection),
            false => ring::drawn(&inspection, ring::terminal_columns()),
        };
        Ok(Answer::new(json::inspection(&inspection), text))
    }
}
