//! Tests wait for facts, not for time, and take whatever port is free.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::{File, Repo};
use crate::tidy::source::{Attribute, Kind, Source};

pub(super) const RULE: Rule = Rule { name: "tests-wait", check };

const SLEEPS: &[&str] = &["sleep", "sleep_until", "sleep_ms", "park_timeout"];

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
    let virtual_time = has_virtual_time(source);
    for mention in &source.mentions {
        let sleeps = SLEEPS.contains(&mention.name()) && mention.is_call() && !mention.behind_dot;
        let pauses_only_the_test = virtual_time && mention.within("tokio::time");
        if sleeps && !pauses_only_the_test && file.is_test(mention.line) {
            findings.error(
                file,
                mention.line,
                "a test that sleeps is slow or flaky: await the fact, or run every test here on paused time",
            );
        }
    }
}

/// Every asynchronous test of the file runs on tokio's paused clock, where sleeping is exact and takes no time.
fn has_virtual_time(source: &Source) -> bool {
    let mut tests = source
        .attributes
        .iter()
        .filter(|attribute| {
            attribute.meta.path().segments.iter().map(|segment| &segment.ident).eq(["tokio", "test"])
        })
        .peekable();
    tests.peek().is_some() && tests.all(starts_paused)
}

fn starts_paused(test: &Attribute) -> bool {
    test.arguments().iter().any(|argument| match argument {
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
