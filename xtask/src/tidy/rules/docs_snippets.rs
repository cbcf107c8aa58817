//! Every snippet in the documentation is compiled: none is `ignore`d.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::markdown::Fences;
use crate::tidy::repo::Repo;

pub(super) const RULE: Rule = Rule { name: "doc-snippets", check };

const ADVICE: &str =
    "an ignored snippet rots: make it compile (`no_run` if it needs a network), or call it `text`";

fn check(repo: &Repo, findings: &mut Findings) {
    for (file, source) in repo.rust() {
        let mut fences = Fences::default();
        let mut last = 0;
        for comment in &source.comments {
            let Some(text) = comment.documentation() else { continue };
            if comment.line != last + 1 {
                fences = Fences::default();
            }
            last = comment.line;
            if fences.opens(text).is_some_and(is_ignored) {
                findings.error(file, comment.line, ADVICE);
            }
        }
    }
    for file in repo.files().iter().filter(|file| file.path.ends_with(".md")) {
        let mut fences = Fences::default();
        for (at, line) in file.text.lines().enumerate() {
            if fences.opens(line).is_some_and(is_ignored) {
                findings.error(file, at + 1, ADVICE);
            }
        }
    }
}

/// `ignore`, and its forms for single targets such as `ignore-windows`.
fn is_ignored(info: &str) -> bool {
    info.split([',', ' ', '{', '}']).any(|word| word == "ignore" || word.starts_with("ignore-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    #[test]
    fn compiled_snippets_pass() {
        let text = "//! ```no_run\n//! run();\n//! ```\n/// ```text\n/// ```ignore\n/// ```\nfn f() {}\n// ```ignore\n";
        assert!(
            caught(&RULE, &Repo::made_of(&[("a.rs", text), ("b.md", "```rust\nf();\n```\n")])).is_empty()
        );
    }

    #[test]
    fn ignored_snippets_are_caught() {
        let text = "/// Sums.\n///\n/// ```ignore\n/// f();\n/// ```\nfn f() {}\n";
        let repo = Repo::made_of(&[("a.rs", text), ("b.md", "# B\n\n~~~rust,ignore\nf();\n~~~\n")]);
        assert_eq!(caught(&RULE, &repo), ["a.rs:3", "b.md:3"]);
    }
}
