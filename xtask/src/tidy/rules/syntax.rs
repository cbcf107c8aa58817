//! Every Rust file parses: what cannot be read cannot be checked.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::Repo;

pub(super) const RULE: Rule = Rule { name: "syntax", check };

fn check(repo: &Repo, findings: &mut Findings) {
    for file in repo.files() {
        if let Some(Err(error)) = &file.source {
            findings.error(file, error.span().start().line, format!("{error}: make it parse"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    #[test]
    fn broken_source_is_caught() {
        let repo = Repo::made_of(&[("a.rs", "fn f() {}\n"), ("b.rs", "fn f() {}\nfn {\n}\n")]);
        assert_eq!(caught(&RULE, &repo), ["b.rs:2"]);
    }
}
