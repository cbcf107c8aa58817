//! What is printed: one answer, for people or for programs.

use std::io::{self, IsTerminal, Write};
#[cfg(unix)]
use std::os::fd::AsFd;

use anstream::ColorChoice;
use anyhow::{Context, Error, Result};
use clap::ValueEnum;
use clusterluck::control::Failure;
use serde_json::Value;
#[cfg(unix)]
use tokio::{io::Interest, net::unix::pipe};

use crate::client;
use crate::render::json;
use crate::render::text::{BAD, NOTE, on_one_line};

/// Whom the output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON document, failures included
    Json,
    /// Tables and colours; failures on standard error
    Text,
}

impl Format {
    /// JSON if nobody but a program would read it.
    pub(crate) fn of_the_reader() -> Self {
        if io::stdout().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Nothing that is printed from now on has colours.
pub(crate) fn without_colours() {
    ColorChoice::Never.write_global();
}

/// What a command has found out, in both forms.
pub(crate) struct Answer {
    data: Option<Value>,
    text: String,
}

impl Answer {
    /// An answer with data, whose `text` may hold styles.
    pub(crate) fn new(data: Value, text: impl Into<String>) -> Self {
        Self { data: Some(data), text: text.into() }
    }

    /// A change was made; there is nothing more to say to a program.
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self { data: None, text: text.into() }
    }

    /// Prints it.
    ///
    /// # Errors
    ///
    /// It cannot be written; that nobody reads any more [is told](is_unread) from other reasons.
    pub(crate) fn print(&self, format: Format) -> Result<()> {
        let printed = match format {
            Format::Json => print_document(&json::success(self.data.as_ref())),
            Format::Text => print_text(&self.text),
        };
        printed.context(UNPRINTED)
    }
}

/// Prints why nothing came of it: as a document for a program, else as one line on standard error.
///
/// # Errors
///
/// It cannot be written, which is then said on standard error.
pub(crate) fn print_failure(error: &Error, format: Format) -> Result<()> {
    let advice = error.downcast_ref::<Failure>().and_then(client::advice);
    let line = on_one_line(&whole_story(error));
    let advised = advice.map(|advice| format!(": {advice}")).unwrap_or_default();
    let for_people = format!("{BAD}error:{BAD:#} {}{advised}", line.trim_end_matches('.'));
    if format == Format::Text {
        note(&for_people);
        return Ok(());
    }
    let printed = print_document(&json::failure(&line, advice)).context(UNPRINTED);
    if printed.as_ref().is_err_and(|error| !is_unread(error)) {
        note(&for_people);
    }
    printed
}

/// Whether nobody reads any more what is printed. Whoever went away wanted no more: that is no failure.
pub(crate) fn is_unread(error: &Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The error and its causes, each once: some name their cause in their own words.
fn whole_story(error: &Error) -> String {
    let mut story = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if story.is_empty() {
            story = cause;
        } else if !story.contains(&cause) {
            story = format!("{story}: {cause}");
        }
    }
    story
}

/// Waits until nobody reads any more what is printed, for what prints rarely; for ever where that cannot be told, as of a
/// file.
pub(crate) async fn unread() {
    #[cfg(unix)]
    if let Ok(out) = io::stdout().as_fd().try_clone_to_owned()
        // Nothing is written by way of it: that it may be no pipe, and that writes block, does not matter.
        && let Ok(out) = pipe::Sender::from_owned_fd_unchecked(out)
        && out.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Says on standard error what is going on. If nobody listens there, nobody misses it.
pub(crate) fn note(text: &str) {
    drop(writeln!(anstream::stderr(), "{text}"));
}

/// Says on standard error what should give pause.
pub(crate) fn warn(text: &str) {
    drop(writeln!(anstream::stderr(), "{NOTE}warning:{NOTE:#} {text}"));
}

/// Prints one line at once, for whoever waits for it. What is to be done goes on without them.
pub(crate) fn print_line(line: &str) -> Result<()> {
    match print_text(line).context(UNPRINTED) {
        Err(error) if is_unread(&error) => Ok(()),
        printed => printed,
    }
}

/// Prints what another program is to read as it is.
pub(crate) fn print_raw(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).context(UNPRINTED)
}

/// Prints text, without its styles where they would not show.
pub(crate) fn print_text(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn print_document(document: &Value) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What failed, where output could not be written.
pub(crate) const UNPRINTED: &str = "cannot write to standard output";

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow!("no space").context("cannot write: no space").context("cannot start");
        assert_eq!(whole_story(&error), "cannot start: cannot write: no space");
    }
}
