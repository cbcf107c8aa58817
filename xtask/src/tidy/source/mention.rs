//! Every path a file mentions, in code and in macro calls alike, under its full name.

use super::import::{Import, Imports};
use super::token::{Kind, Token};

#[derive(Debug)]
pub(crate) struct Mention {
    /// Resolved through the file's `use` items, without generic arguments.
    pub(crate) path: String,
    pub(crate) line: usize,
    /// Stands behind a dot: a method or a field.
    pub(crate) behind_dot: bool,
    /// What follows it: `(` for a call, `!` for a macro.
    pub(crate) next: String,
    /// Where it ends in the file's tokens; past their end for an import.
    pub(crate) end: usize,
}

impl Mention {
    /// The last name of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit("::").next().unwrap_or(&self.path)
    }

    pub(crate) fn is_macro(&self) -> bool {
        self.next == "!"
    }

    pub(crate) fn is_call(&self) -> bool {
        self.next == "("
    }

    /// Whether the path is `of` or lies in it.
    pub(crate) fn within(&self, of: &str) -> bool {
        self.path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }
}

pub(super) fn all(tokens: &[Token], imports: &Imports) -> Vec<Mention> {
    let mut mentions: Vec<Mention> = imports.iter().map(imported).collect();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].kind != Kind::Word {
            at += 1;
            continue;
        }
        if is_use_item(tokens, at) {
            at += tokens[at..].iter().take_while(|token| token.text != ";").count();
            continue;
        }
        let start = at;
        let mut path = tokens[at].text.clone();
        at += 1;
        while is_separator(tokens, at) && tokens.get(at + 2).is_some_and(|token| token.kind == Kind::Word) {
            path.push_str("::");
            path.push_str(&tokens[at + 2].text);
            at += 3;
        }
        let line = tokens[start].line;
        let behind_dot = start > 0 && tokens[start - 1].text == "." && !is_range(tokens, start);
        if !behind_dot {
            path = imports.resolve(&path, line);
        }
        mentions.push(Mention { path, line, behind_dot, next: following(tokens, at), end: at });
    }
    mentions
}

/// What a `use` item brings in is mentioned there, under its own name; a glob mentions everything in its module.
fn imported(import: &Import) -> Mention {
    let path = if import.name == "*" { format!("{}::*", import.path) } else { import.path.clone() };
    Mention { path, line: import.line, behind_dot: false, next: String::new(), end: usize::MAX }
}

/// `use` of an item, not the `use<'a>` of a return type.
fn is_use_item(tokens: &[Token], at: usize) -> bool {
    tokens[at].text == "use" && tokens.get(at + 1).is_some_and(|token| token.text != "<")
}

/// The token after a path. An explicit generic argument list (`spawn::<T>(…)`) is stepped over.
fn following(tokens: &[Token], at: usize) -> String {
    let mut next = at;
    if is_separator(tokens, at) && tokens.get(at + 2).is_some_and(|token| token.text == "<") {
        let mut depth = 0_usize;
        next += 2;
        while let Some(token) = tokens.get(next) {
            next += 1;
            match token.text.as_str() {
                "<" => depth += 1,
                // The arrow of a function type is no closing bracket.
                ">" if tokens[next - 2].text == "-" => {}
                ">" if depth == 1 => break,
                ">" => depth -= 1,
                _ => {}
            }
        }
    }
    tokens.get(next).map(|token| token.text.clone()).unwrap_or_default()
}

fn is_separator(tokens: &[Token], at: usize) -> bool {
    matches!(tokens.get(at..at + 2), Some([first, second])
        if first.text == ":" && first.joined && second.text == ":")
}

fn is_range(tokens: &[Token], start: usize) -> bool {
    start > 1 && tokens[start - 2].text == "." && tokens[start - 2].joined
}

#[cfg(test)]
mod tests {
    use super::super::Source;

    fn paths(text: &str) -> Vec<(String, String)> {
        let source = Source::parse(text).expect("the sample parses");
        source.mentions.into_iter().map(|mention| (mention.path, mention.next)).collect()
    }

    #[test]
    fn paths_are_resolved_inside_macros_too() {
        let paths = paths("use tokio::task;\nfn f() { join!(task::spawn::<Vec<u8>>(x)); }");
        assert!(paths.contains(&("tokio::task::spawn".to_owned(), "(".to_owned())));
    }

    #[test]
    fn imports_are_mentioned_once_and_by_their_own_name() {
        let paths = paths("use tokio::{task as t, time::*};\nfn f() -> impl Sized + use<'_> {}");
        let imports: Vec<_> =
            paths.iter().map(|(path, _)| path.as_str()).filter(|path| path.contains("::")).collect();
        assert_eq!(imports, ["tokio::task", "tokio::time::*"]);
    }

    #[test]
    fn methods_are_not_taken_for_imports() {
        let paths = paths("use tokio::spawn;\nfn f() { tracker.spawn(x); }");
        assert!(paths.contains(&("spawn".to_owned(), "(".to_owned())));
    }

    #[test]
    fn types_after_a_colon_are_paths_of_their_own() {
        let paths = paths("fn f(x: ::std::string::String, y: u8) {}");
        assert!(paths.contains(&("std::string::String".to_owned(), ",".to_owned())));
        assert!(paths.contains(&("y".to_owned(), ":".to_owned())));
    }
}
