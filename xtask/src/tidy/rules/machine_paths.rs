//! Nothing in the tree names a folder of the machine it was written on.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::Repo;

pub(super) const RULE: Rule = Rule { name: "machine-paths", check };

/// Written in pieces so that this file passes its own rule.
const PLACES: &[&str] = &[
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/tmp/tar", "get"),
    concat!("/Us", "ers/"),
    concat!("/ho", "me/"),
];

fn check(repo: &Repo, findings: &mut Findings) {
    for file in repo.files() {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(place) = PLACES.iter().find(|place| names(line, place)) {
                findings.error(
                    file,
                    at + 1,
                    format!("`{place}` is a place on one machine: say it relative to the repository"),
                );
            }
        }
    }
}

/// Whether the line has the place as the start of a path, rather than inside one such as `src/work/`.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && !"._-~/}$*".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    #[test]
    fn relative_places_pass() {
        let text = "src/work/a.rs ~/root/ https://example.org/home/ target/debug $HOME/work/";
        assert!(caught(&RULE, &Repo::made_of(&[("a.md", text)])).is_empty());
    }

    #[test]
    fn places_of_one_machine_are_caught_in_any_file() {
        let text = format!("fine\nlet path = \"{}main\";\n", PLACES[1]);
        let repo = Repo::made_of(&[("a.rs", &text), ("b.json", &format!("{{\"p\": \"{}x\"}}", PLACES[0]))]);
        assert_eq!(caught(&RULE, &repo), ["a.rs:2", "b.json:1"]);
    }
}
