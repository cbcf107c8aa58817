//! `demo`: five real nodes, one killed and brought back, the network cut in two and healed, in one command.

mod caller;
mod kept;
mod load;
mod nodes;
mod process;
mod relay;
mod report;
mod script;
mod stage;

use std::fmt;

use anyhow::{Context, Result};
use clap::Args;
use clusterluck::netkernel::Cookie;
use tempfile::TempDir;
use tokio::time::Instant;

use self::nodes::Nodes;
use self::relay::Relay;
use self::stage::Stage;
use crate::output::{Answer, Format};
use crate::signals::Signals;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave the nodes running and print commands to try on them
    #[arg(long)]
    keep: bool,
}

impl Demo {
    /// Plays the script. Whatever happens, no process and no folder outlives it, unless all went well and they are
    /// to be kept.
    pub(crate) async fn run(self, format: Format) -> Result<()> {
        let began = Instant::now();
        let mut signals = Signals::listen().context("cannot listen for signals")?;
        let mut stage = Stage::new(format);
        let folder = tempfile::Builder::new().prefix("clusterluck-demo-").tempdir();
        let folder =
            folder.context("cannot make a temporary folder: set TMPDIR to one that can be written to")?;
        let cookie = Cookie::generate()?;
        cookie.write_new_file(folder.path().join(nodes::COOKIE_FILE))?;
        let relay = Relay::start().await.context("cannot listen on the loopback interface")?;
        let mut nodes = Nodes::new(folder.path().to_owned(), cookie, relay);
        let played = tokio::select! {
            played = script::play(&mut nodes, &mut stage) => played,
            () = signals.next() => Err(Interrupted.into()),
        };
        match played {
            Ok(mut figures) => {
                if !self.keep {
                    clean_up(&mut stage, nodes, folder).await?;
                    figures.whole = began.elapsed();
                    return Answer::new(figures.document(), figures.text()).print(format);
                }
                figures.whole = began.elapsed();
                let kept = nodes.keep().await?;
                // Only now, so that a failure leaves nothing behind.
                let _path = folder.keep();
                let mut document = figures.document();
                document["kept"] = kept.document();
                let text = figures.text() + &kept.text();
                Answer::new(document, text).print(format)
            }
            Err(error) => {
                stage.failed();
                if !error.is::<Interrupted>() {
                    stage.text(&nodes.log_tails());
                }
                nodes.kill().await;
                folder.close().context("the demo failed, and its temporary folder cannot be removed")?;
                Err(error)
            }
        }
    }
}

/// Nothing is wrong with the nodes: whoever watched has seen enough.
#[derive(Debug)]
struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("interrupted: all that it had started is stopped")
    }
}

impl std::error::Error for Interrupted {}

async fn clean_up(stage: &mut Stage, nodes: Nodes, folder: TempDir) -> Result<()> {
    stage.begin("stopping the nodes");
    let began = Instant::now();
    nodes.stop().await?;
    let place = folder.path().display().to_string();
    folder.close().with_context(|| format!("cannot remove {place}"))?;
    stage.done("everything is stopped and its folder removed", began.elapsed());
    Ok(())
}
