//! What is printed: one answer, for people or for programs.

use std::io::{self, IsTerminal, Write};

use anstream::ColorChoice;
use anyhow::Error;
use clap::ValueEnum;
use clusterluck::control::Failure;
use serde_json::Value;

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

    /// Prints it. A reader that has gone away wanted no more.
    pub(crate) fn print(&self, format: Format) -> io::Result<()> {
        quietly(match format {
            Format::Json => print_document(&json::success(self.data.as_ref())),
            Format::Text => print_text(&self.text),
        })
    }
}

/// Prints why nothing came of it: as a document for a program, else as one line on standard error.
pub(crate) fn print_failure(error: &Error, format: Format) -> io::Result<()> {
    let advice = error.downcast_ref::<Failure>().and_then(client::advice);
    let line = on_one_line(&whole_story(error));
    quietly(match format {
        Format::Json => print_document(&json::failure(&line, advice)),
        Format::Text => {
            let advice = advice.map(|advice| format!(": {advice}")).unwrap_or_default();
            let line = line.trim_end_matches('.');
            writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {line}{advice}")
        }
    })
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

/// Says on standard error what is going on. If nobody listens there, nobody misses it.
pub(crate) fn note(text: &str) {
    drop(writeln!(anstream::stderr(), "{text}"));
}

/// Says on standard error what should give pause.
pub(crate) fn warn(text: &str) {
    drop(writeln!(anstream::stderr(), "{NOTE}warning:{NOTE:#} {text}"));
}

/// Prints one line at once, for whoever waits for it.
pub(crate) fn print_line(line: &str) -> io::Result<()> {
    quietly(print_text(line))
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

/// A reader that has gone away is no failure.
pub(crate) fn quietly(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

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
