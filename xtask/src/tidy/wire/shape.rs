//! What postcard writes of a message, as a tree, and as the text of the lock.
//!
//! Structs vanish: their fields are written one after the other. A line is a field: what it is called, and what it is.
//! What it consists of stands below it, further to the right.

use anyhow::{Context, Result, bail};

/// A message or answer under the name and version that identify it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
    /// Crate, tag and version, and `reply` for an answer.
    pub(super) name: String,
    pub(super) fields: Vec<Part>,
}

/// A field, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Part {
    /// The field's name, or the variant's; empty where there is none.
    pub(super) name: String,
    /// What is written. Empty for a variant.
    pub(super) kind: String,
    pub(super) parts: Vec<Part>,
}

impl Part {
    pub(super) fn new(name: &str, kind: &str, parts: Vec<Part>) -> Self {
        Self { name: name.to_owned(), kind: kind.to_owned(), parts }
    }

    /// Its line of the lock.
    pub(super) fn label(&self) -> String {
        match (self.name.as_str(), self.kind.as_str()) {
            (name, "") => name.to_owned(),
            ("", kind) => format!(": {kind}"),
            (name, kind) => format!("{name}: {kind}"),
        }
    }
}

/// The text of the lock.
pub(super) fn print(messages: &[Message]) -> String {
    let mut text = HEAD.to_owned();
    for message in messages {
        text.push_str(&format!("\n{}\n", message.name));
        print_parts(&message.fields, 1, &mut text);
    }
    text
}

fn print_parts(parts: &[Part], depth: usize, text: &mut String) {
    for part in parts {
        text.push_str(&format!("{}{}\n", INDENT.repeat(depth), part.label()));
        print_parts(&part.parts, depth + 1, text);
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Message>> {
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let label = line.trim_start_matches(' ');
        lines.push(((line.len() - label.len()) / INDENT.len(), label));
    }
    let mut rest = lines.as_slice();
    let mut messages = Vec::new();
    while let Some(((depth, name), after)) = rest.split_first() {
        if *depth != 0 {
            bail!("`{name}` belongs to no message");
        }
        rest = after;
        let fields = parse_parts(&mut rest, 1)?;
        messages.push(Message { name: (*name).to_owned(), fields });
    }
    Ok(messages)
}

fn parse_parts(lines: &mut &[(usize, &str)], depth: usize) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    while let Some(((found, label), after)) = lines.split_first() {
        if *found < depth {
            break;
        }
        if *found > depth {
            bail!("`{label}` is indented too far");
        }
        *lines = after;
        let (name, kind) = match label.strip_prefix(": ") {
            Some(kind) => ("", kind),
            None => label.split_once(": ").unwrap_or((label, "")),
        };
        let below = parse_parts(lines, depth + 1).with_context(|| format!("below `{label}`"))?;
        parts.push(Part::new(name, kind, below));
    }
    Ok(parts)
}

const INDENT: &str = "  ";
const HEAD: &str = "\
# What the crates' own messages look like, by tag and version. Written by `cargo xtask wire --update`, which refuses what
# another release would misread: give a changed message a new version, append an enum's variants.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let variants =
            vec![Part::new("One", "", vec![]), Part::new("Two", "", vec![Part::new("", "u8", vec![])])];
        let fields = vec![Part::new("a", "u64", vec![]), Part::new("b", "enum", variants)];
        let messages = vec![
            Message { name: "x get 1".into(), fields },
            Message { name: "x get 1 reply".into(), fields: vec![] },
        ];
        let text = print(&messages);
        assert!(
            text.ends_with("x get 1\n  a: u64\n  b: enum\n    One\n    Two\n      : u8\n\nx get 1 reply\n"),
            "{text}"
        );
        assert_eq!(parse(&text).unwrap(), messages);
        assert!(parse("x get 1\n      too far\n").is_err());
        assert!(parse("  no message\n").is_err());
    }
}
