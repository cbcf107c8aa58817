//! Tokens without their nesting, and the comments between them.

use std::ops::Range;

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

use super::comment::{self, Comment};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Mark,
    Literal,
    Open,
    Close,
}

#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Whether the next token follows without a space: tells `::` from two colons.
    pub(crate) joined: bool,
}

/// Flattens a stream. Documentation comments, which the tokenizer turns into attributes, become comments again.
pub(super) fn flatten(text: &str, stream: TokenStream) -> (Vec<Token>, Vec<Comment>) {
    let mut walk = Walk { text, seen: 0, line: 1, tokens: Vec::new(), comments: Vec::new() };
    walk.stream(stream);
    walk.gap(text.len());
    (walk.tokens, walk.comments)
}

struct Walk<'a> {
    text: &'a str,
    /// Where the source has been read to, in bytes.
    seen: usize,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<Comment>,
}

impl Walk<'_> {
    fn stream(&mut self, stream: TokenStream) {
        for tree in stream {
            match tree {
                TokenTree::Group(group) => {
                    let (open, close) = ends(group.delimiter());
                    self.token(Kind::Open, open.to_owned(), group.span_open());
                    self.stream(group.stream());
                    self.token(Kind::Close, close.to_owned(), group.span_close());
                }
                TokenTree::Ident(ident) => self.token(Kind::Word, ident.to_string(), ident.span()),
                TokenTree::Punct(punct) => self.token(Kind::Mark, punct.as_char().to_string(), punct.span()),
                TokenTree::Literal(literal) => self.token(Kind::Literal, literal.to_string(), literal.span()),
            }
        }
    }

    fn token(&mut self, kind: Kind, text: String, span: Span) {
        let bytes: Range<usize> = span.byte_range();
        // The five tokens of a documentation comment all carry the whole comment's span.
        let source = &self.text[bytes.start..];
        if source.starts_with("//") || source.starts_with("/*") {
            self.gap(bytes.end);
            return;
        }
        self.gap(bytes.start);
        if bytes.end > self.seen {
            self.line = span.end().line;
            self.seen = bytes.end;
        }
        let joined = self.text[bytes.end..].chars().next().is_some_and(|next| !next.is_whitespace());
        let text = text.strip_prefix("r#").map(str::to_owned).unwrap_or(text);
        self.tokens.push(Token { kind, text, line: span.start().line, joined });
    }

    /// Reads what lies between the last token and `end`: space and comments.
    fn gap(&mut self, end: usize) {
        if end <= self.seen {
            return;
        }
        let gap = &self.text[self.seen..end];
        comment::read(gap, self.line, &mut self.comments);
        self.line += gap.matches('\n').count();
        self.seen = end;
    }
}

fn ends(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> (Vec<Token>, Vec<Comment>) {
        flatten(text, text.parse().expect("the sample is made of tokens"))
    }

    #[test]
    fn tokens_inside_macro_calls_are_seen() {
        let (tokens, _) = flat("select! {\n    x = tokio::spawn(y) => {}\n}");
        let spawn = tokens.iter().find(|token| token.text == "spawn").expect("it is there");
        assert_eq!(spawn.line, 2);
    }

    #[test]
    fn comments_of_every_kind_are_apart_from_tokens() {
        let text = "//! front\nfn f() { // side\n/* block\n   two */ let x = \"// no\"; }\n/// docs\nfn g() {}\n// last";
        let (tokens, comments) = flat(text);
        assert!(tokens.iter().all(|token| token.text != "doc"));
        let found: Vec<_> = comments.iter().map(|comment| (comment.line, comment.text.as_str())).collect();
        assert_eq!(
            found,
            [
                (1, "//! front"),
                (2, "// side"),
                (3, "/* block"),
                (4, "two */"),
                (5, "/// docs"),
                (7, "// last")
            ]
        );
    }

    #[test]
    fn multibyte_text_keeps_lines_right() {
        let (tokens, comments) = flat("let a = \"é→\"; // größe\nlet b = 1;");
        assert_eq!(tokens.iter().find(|token| token.text == "b").map(|token| token.line), Some(2));
        assert_eq!(comments[0].text, "// größe");
    }
}
