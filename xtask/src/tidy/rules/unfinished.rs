//! What is in the tree is finished: nothing is left to do, skipped or being debugged.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::Repo;

pub(super) const RULE: Rule = Rule { name: "unfinished", check };

/// Written in pieces so that this file passes its own rule.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

const MACROS: &[(&str, &str)] = &[
    ("todo", "write it, or leave it out"),
    ("unimplemented", "write it, or return a typed error"),
    ("dbg", "take it out, or make it a tracing event"),
];

/// Files besides Rust whose every line counts as a comment.
const PROSE: &[&str] = &[".md", ".toml", ".yml", ".yaml", ".sh"];

fn check(repo: &Repo, findings: &mut Findings) {
    for (file, source) in repo.rust() {
        for mention in source.mentions.iter().filter(|mention| mention.is_macro()) {
            if let Some((name, advice)) = MACROS.iter().find(|(name, _)| mention.name() == *name) {
                findings.error(file, mention.line, format!("`{name}!` in the tree: {advice}"));
            }
        }
        for attribute in source.attributes.iter().filter(|attribute| attribute.is("ignore")) {
            findings.error(
                file,
                attribute.line,
                "an ignored test checks nothing: make it pass, or take it out",
            );
        }
        for comment in &source.comments {
            report_mark(&comment.text, |mark| findings.error(file, comment.line, mark));
        }
    }
    for file in repo.files().iter().filter(|file| PROSE.iter().any(|end| file.name().ends_with(end))) {
        for (at, line) in file.text.lines().enumerate() {
            report_mark(line, |mark| findings.error(file, at + 1, mark));
        }
    }
}

fn report_mark(line: &str, report: impl FnOnce(String)) {
    let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    if let Some(mark) = words.find(|word| MARKS.contains(word)) {
        report(format!("`{mark}` in the tree: do it now, or open an issue"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    #[test]
    fn finished_code_passes() {
        let text = "// see `todo!`, mktemp.XXXXXX\nfn todo() { ignore(\"dbg!(x)\"); self.dbg = 1; }\n";
        assert!(
            caught(&RULE, &Repo::made_of(&[("a.rs", text), ("b.md", "todo lists are an example\n")]))
                .is_empty()
        );
    }

    #[test]
    fn what_is_unfinished_is_caught() {
        let mark = MARKS[0];
        let text = format!(
            "fn a() {{ todo!() }}\nfn b() {{ select! {{ x => unimplemented!() }} }}\n#[test]\n#[ignore]\nfn c() {{}}\n\
             /// {mark}: more\nfn d() {{ std::dbg!(1); }}\n"
        );
        let repo = Repo::made_of(&[("a.rs", &text), ("b.md", &format!("fine\n{mark}(x): more\n"))]);
        assert_eq!(caught(&RULE, &repo), ["a.rs:1", "a.rs:2", "a.rs:4", "a.rs:6", "a.rs:7", "b.md:2"]);
    }

    #[test]
    fn an_ignored_test_inside_a_macro_is_caught() {
        let repo = Repo::made_of(&[(
            "a.rs",
            "proptest! {\n    #[test]\n    #[ignore = \"slow\"]\n    fn f() {}\n}\n",
        )]);
        assert_eq!(caught(&RULE, &repo), ["a.rs:3"]);
    }
}
