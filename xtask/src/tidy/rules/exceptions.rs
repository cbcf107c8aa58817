//! An exception from a lint is an `expect` with its reason: it ends when the cause does.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::Repo;
use crate::tidy::source::{Attribute, arguments};

pub(super) const RULE: Rule = Rule { name: "lint-exceptions", check };

fn check(repo: &Repo, findings: &mut Findings) {
    for (file, source) in repo.rust() {
        for attribute in &source.attributes {
            if attribute.is("allow") {
                findings.error(
                    file,
                    attribute.line,
                    "`allow` outlives its cause: write `expect(lint, reason = \"…\")`",
                );
            } else if attribute.is("expect") && !has_reason(attribute) {
                findings.error(file, attribute.line, "say why: `expect(lint, reason = \"…\")`");
            }
        }
    }
}

fn has_reason(attribute: &Attribute) -> bool {
    arguments(&attribute.meta).iter().any(|argument| match argument {
        syn::Meta::NameValue(pair) => pair.path.is_ident("reason"),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    #[test]
    fn an_exception_with_its_reason_passes() {
        let text = "#![expect(dead_code, reason = \"why\")]\n// #[allow(dead_code)]\nconst S: &str = \"#[allow(x)]\";\n";
        assert!(caught(&RULE, &Repo::made_of(&[("a.rs", text)])).is_empty());
    }

    #[test]
    fn allow_and_wordless_expect_are_caught() {
        let text =
            "#![allow(dead_code)]\n#[expect(dead_code)]\nfn f() {}\n#[cfg_attr(test, allow(x))]\nfn g() {}\n";
        assert_eq!(caught(&RULE, &Repo::made_of(&[("a.rs", text)])), ["a.rs:1", "a.rs:2", "a.rs:4"]);
    }
}
