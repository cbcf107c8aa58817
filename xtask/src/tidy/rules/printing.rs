//! A library speaks through its return values and `tracing`, never on its user's terminal.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::Repo;

pub(super) const RULE: Rule = Rule { name: "printing", check };

const MACROS: &[&str] = &["print", "println", "eprint", "eprintln"];

fn check(repo: &Repo, findings: &mut Findings) {
    for package in repo.packages.iter().filter(|package| package.library) {
        for (file, source) in repo.library_sources(package) {
            for mention in source.mentions.iter().filter(|mention| mention.is_macro()) {
                if MACROS.contains(&mention.name()) && !file.is_test(mention.line) {
                    findings.error(
                        file,
                        mention.line,
                        format!("`{}!` in a library: return it, or make it a tracing event", mention.name()),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;
    use crate::tidy::package::Package;

    #[test]
    fn a_quiet_library_passes() {
        let text = "//! println!(\"docs may\");\nfn println() { tracing::info!(\"x\"); }\n#[test]\nfn f() { println!(); }\n";
        let repo = Repo::made_of(&[
            ("crates/a/src/lib.rs", text),
            ("crates/a/examples/e.rs", "fn main() { println!(); }"),
            ("crates/a/tests/t.rs", "fn f() { println!(); }"),
        ])
        .with(Package::made_of("clusterluck-a", &[]));
        assert!(caught(&RULE, &repo).is_empty());
    }

    #[test]
    fn a_loud_library_is_caught() {
        let text = "fn f() { std::eprintln!(\"x\"); }\nfn g() { select! { _ = a => println!(), } }\n";
        let repo = Repo::made_of(&[("crates/a/src/b.rs", text)]).with(Package::made_of("clusterluck-a", &[]));
        assert_eq!(caught(&RULE, &repo), ["crates/a/src/b.rs:1", "crates/a/src/b.rs:2"]);
    }
}
