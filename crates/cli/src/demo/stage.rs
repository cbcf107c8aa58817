//! Progress, a line a step: what is under way on a terminal, what came of it everywhere.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use crate::output::{Format, print_text};
use crate::render::text::{BAD, FAINT, GOOD, NOTE, time};

/// Where the demonstration speaks. Whether anyone listens does not matter to it.
pub(super) struct Stage {
    audience: Audience,
    under_way: Option<String>,
}

#[derive(PartialEq)]
enum Audience {
    Terminal,
    Pipe,
    /// Only the figures at the end are wanted.
    Program,
}

impl Stage {
    pub(super) fn new(format: Format) -> Self {
        let audience = match format {
            Format::Json => Audience::Program,
            Format::Text if std::io::stdout().is_terminal() => Audience::Terminal,
            Format::Text => Audience::Pipe,
        };
        Self { audience, under_way: None }
    }

    /// A step begins.
    pub(super) fn begin(&mut self, what: &str) {
        self.clear();
        if self.audience == Audience::Terminal {
            self.say(&format!("{NOTE}…{NOTE:#} {what}"), false);
        }
        self.under_way = Some(what.to_owned());
    }

    /// The step has done what it claims, in that time.
    pub(super) fn done(&mut self, what: &str, took: Duration) {
        self.clear();
        let took = time(took);
        let gap = " ".repeat(COLUMNS.saturating_sub(2 + what.width() + took.width()).max(2));
        self.say(&format!("{GOOD}✓{GOOD:#} {what}{gap}{FAINT}{took}{FAINT:#}"), true);
    }

    /// The step under way has failed.
    pub(super) fn failed(&mut self) {
        let under_way = self.under_way.take();
        self.clear();
        if let Some(what) = under_way {
            self.say(&format!("{BAD}✗ {what}{BAD:#}"), true);
        }
    }

    /// Something to look at between two steps.
    pub(super) fn text(&mut self, text: &str) {
        if self.audience != Audience::Program && !text.is_empty() {
            drop(print_text(text));
        }
    }

    fn clear(&mut self) {
        if self.audience == Audience::Terminal {
            drop(anstream::stdout().write_all(ERASE_LINE.as_bytes()));
        }
        self.under_way = None;
    }

    fn say(&self, line: &str, ended: bool) {
        if self.audience == Audience::Program {
            return;
        }
        let mut out = anstream::stdout().lock();
        let written = if ended { writeln!(out, "{line}") } else { write!(out, "{line}") };
        drop(written.and_then(|()| out.flush()));
    }
}

/// Lines end where an 80-column terminal does not wrap them.
const COLUMNS: usize = 78;
const ERASE_LINE: &str = "\r\u{1b}[2K";
