//! One idea a file: a long one hides a second.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::Repo;

pub(super) const RULE: Rule = Rule { name: "length", check };

/// Past this a reader looks for the second idea.
const LINES_WARNED: usize = 450;
/// Past this there is one.
const LINES_MAX: usize = 600;

fn check(repo: &Repo, findings: &mut Findings) {
    for file in repo.files().iter().filter(|file| file.path.ends_with(".rs")) {
        let lines = file.text.lines().count();
        let message = format!("{lines} lines: find the second idea in it and give it a file");
        if lines > LINES_MAX {
            findings.error(file, LINES_MAX + 1, message);
        } else if lines > LINES_WARNED {
            findings.warning(file, LINES_WARNED + 1, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::{Findings, Weight};

    fn weight(lines: usize) -> Option<Weight> {
        let repo = Repo::made_of(&[("a.rs", &"//\n".repeat(lines))]);
        Findings::of(&RULE, &repo).first().map(|finding| finding.weight)
    }

    #[test]
    fn long_files_warn_and_then_fail() {
        assert_eq!(weight(LINES_WARNED), None);
        assert_eq!(weight(LINES_MAX), Some(Weight::Warning));
        assert_eq!(weight(LINES_MAX + 1), Some(Weight::Error));
    }

    #[test]
    fn prose_and_data_may_be_long() {
        let repo = Repo::made_of(&[("a.md", &"x\n".repeat(2 * LINES_MAX))]);
        assert!(Findings::of(&RULE, &repo).is_empty());
    }
}
