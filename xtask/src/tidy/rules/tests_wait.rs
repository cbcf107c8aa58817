//! Tests wait for facts, not for time, and take whatever port is free.

use std::ops::RangeInclusive;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::{File, Repo};
use crate::tidy::source::{Kind, Source, arguments};

pub(super) const RULE: Rule = Rule { name: "tests-wait", check };

const SLEEPS: &[&str] = &["sleep", "sleep_until", "sleep_ms", "park_timeout"];

/// What panics unless the clock is paused, or pauses it.
const ONLY_PAUSED: &[&str] = &["tokio::time::advance", "tokio::time::pause"];

/// Hosts a test could bind or dial.
const LOCAL_HOSTS: &[&str] = &["127.0.0.1:", "localhost:", "0.0.0.0:", "[::1]:", "[::]:"];

fn check(repo: &Repo, findings: &mut Findings) {
    for (file, source) in repo.rust() {
        sleeps(file, source, findings);
        if file.is_under("tests") {
            ports(file, source, findings);
        }
    }
}

fn sleeps(file: &File, source: &Source, findings: &mut Findings) {
    let paused = Paused::of(source);
    for mention in &source.mentions {
        let sleeps = SLEEPS.contains(&mention.name()) && mention.is_call() && !mention.behind_dot;
        let takes_no_time = mention.within("tokio::time") && paused.contains(mention.line);
        if sleeps && !takes_no_time && file.is_test(mention.line) {
            findings.error(
                file,
                mention.line,
                "a test that sleeps is slow or flaky: await the fact, or use paused time \
                 (a helper shows that it is paused by calling `tokio::time::advance`)",
            );
        }
    }
}

/// The lines that run on tokio's paused clock, where sleeping is exact and takes no time: tests that start paused,
/// functions that call what panics on real time, and all of a file whose every asynchronous test starts paused.
struct Paused<'a> {
    source: &'a Source,
    lines: Vec<RangeInclusive<usize>>,
}

impl<'a> Paused<'a> {
    fn of(source: &'a Source) -> Self {
        let mut paused = Self { source, lines: Vec::new() };
        let mut tests = source
            .attributes
            .iter()
            .map(|attribute| &attribute.meta)
            .filter(|meta| is_tokio_test(meta))
            .peekable();
        if tests.peek().is_some() && tests.all(starts_paused) {
            paused.lines.push(1..=usize::MAX);
        }
        paused.visit_file(&source.tree);
        paused
    }

    fn contains(&self, line: usize) -> bool {
        self.lines.iter().any(|lines| lines.contains(&line))
    }

    fn function(&mut self, attributes: &[syn::Attribute], body: &syn::Block) {
        let lines = body.span().start().line..=body.span().end().line;
        let starts = attributes
            .iter()
            .any(|attribute| is_tokio_test(&attribute.meta) && starts_paused(&attribute.meta));
        let mut inside = self.source.mentions.iter().filter(|mention| lines.contains(&mention.line));
        if starts || inside.any(|mention| ONLY_PAUSED.iter().any(|path| mention.within(path))) {
            self.lines.push(lines);
        }
    }
}

impl<'ast> Visit<'ast> for Paused<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.attrs, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

fn is_tokio_test(meta: &syn::Meta) -> bool {
    meta.path().segments.iter().map(|segment| &segment.ident).eq(["tokio", "test"])
}

fn starts_paused(test: &syn::Meta) -> bool {
    arguments(test).iter().any(|argument| match argument {
        syn::Meta::NameValue(pair) if pair.path.is_ident("start_paused") => {
            matches!(&pair.value, syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Bool(on), .. }) if on.value)
        }
        _ => false,
    })
}

fn ports(file: &File, source: &Source, findings: &mut Findings) {
    for (at, token) in source.tokens.iter().enumerate() {
        if token.kind == Kind::Literal && (names_a_port(&token.text) || pairs_with_a_port(source, at)) {
            findings.error(
                file,
                token.line,
                "a fixed port may be in use: bind port 0; an address that is only data is 192.0.2.x (RFC 5737)",
            );
        }
    }
}

/// `"127.0.0.1:7022"`, but neither `"127.0.0.1:0"` nor `"127.0.0.1:{port}"`.
fn names_a_port(literal: &str) -> bool {
    LOCAL_HOSTS.iter().any(|host| {
        literal.split(host).skip(1).any(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().is_ok_and(|port| port != 0)
        })
    })
}

/// `("127.0.0.1", 7022)` and `([127, 0, 0, 1], 7022)`: a local host, a comma and a number.
fn pairs_with_a_port(source: &Source, at: usize) -> bool {
    let text = |at: usize| source.tokens.get(at).map_or("", |token| token.text.as_str());
    let host = matches!(text(at), "\"127.0.0.1\"" | "\"localhost\"" | "\"0.0.0.0\"" | "\"::1\"");
    let octets = at >= 7 && (at - 7..=at).map(text).eq(["[", "127", ",", "0", ",", "0", ",", "1"]);
    let comma = if host { at + 1 } else { at + 2 };
    (host || octets)
        && text(comma) == ","
        && text(comma + 2) == ")"
        && text(comma + 1).trim_end_matches("u16").parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    fn lines(path: &str, text: &str) -> Vec<String> {
        caught(&RULE, &Repo::made_of(&[(path, text)]))
    }

    #[test]
    fn waiting_for_facts_passes() {
        let text = "#[tokio::test(start_paused = true)]\nasync fn f() {\n    tokio::time::sleep(d).await;\n    \
                    bind(\"127.0.0.1:0\"); bind(([127, 0, 0, 1], 0)); let a = format!(\"127.0.0.1:{port}\");\n    \
                    // sleep(d)\n    queue.sleep(); at(\"192.0.2.1:7022\");\n}\n";
        assert!(lines("crates/a/tests/t.rs", text).is_empty());
    }

    #[test]
    fn code_outside_tests_may_sleep() {
        let text = "fn f() { tokio::time::sleep(d); }\n#[cfg(test)]\nmod tests {}\n";
        assert!(lines("crates/a/src/driver.rs", text).is_empty());
    }

    #[test]
    fn sleeping_tests_are_caught() {
        let text = "use std::thread;\n#[cfg(test)]\nmod tests {\n    fn f() { thread::sleep(d); }\n}\n";
        assert_eq!(lines("crates/a/src/a.rs", text), ["crates/a/src/a.rs:4"]);
        let text = "#[tokio::test]\nasync fn f() { tokio::time::sleep(d).await; }\n\
                    #[tokio::test(start_paused = true)]\nasync fn g() {}\n";
        assert_eq!(lines("crates/a/tests/t.rs", text), ["crates/a/tests/t.rs:2"]);
    }

    #[test]
    fn paused_functions_may_sleep_beside_real_tests() {
        let text = "use tokio::time::{advance, sleep};\n\
                    #[tokio::test(start_paused = true)]\nasync fn a() { sleep(d).await; }\n\
                    async fn settle() { advance(zero).await; sleep(d).await; }\n\
                    async fn helper() { sleep(d).await; }\n\
                    #[tokio::test]\nasync fn b() {}\n";
        assert_eq!(lines("crates/a/tests/t.rs", text), ["crates/a/tests/t.rs:5"]);
    }

    #[test]
    fn real_sleep_is_caught_on_paused_time_too() {
        let text = "#[tokio::test(start_paused = true)]\nasync fn f() { std::thread::sleep(d); }\n";
        assert_eq!(lines("crates/a/tests/t.rs", text), ["crates/a/tests/t.rs:2"]);
    }

    #[test]
    fn fixed_ports_are_caught() {
        let text = "fn f() { bind(\"127.0.0.1:7022\"); }\nfn g() { bind((\"localhost\", 7022)); }\n\
                    fn h() { bind(([127, 0, 0, 1], 7022)); }\n";
        assert_eq!(
            lines("crates/a/tests/t.rs", text),
            ["crates/a/tests/t.rs:1", "crates/a/tests/t.rs:2", "crates/a/tests/t.rs:3"]
        );
    }
}
