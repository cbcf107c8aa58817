//! A Markdown link to something in the repository leads there.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::markdown;
use crate::tidy::repo::Repo;

pub(super) const RULE: Rule = Rule { name: "links", check };

fn check(repo: &Repo, findings: &mut Findings) {
    for file in repo.files().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, target) in markdown::links(&file.text) {
            if leads_elsewhere(target) {
                continue;
            }
            let place = target.split(['#', '?']).next().unwrap_or(target);
            match resolve(folder, place) {
                Some(path) if repo.has(&path) || repo.has_folder(&path) => {}
                _ => findings.error(file, line, format!("`{target}` leads nowhere: fix or remove the link")),
            }
        }
    }
}

/// Other sites, places on the same page, and names that rustdoc resolves.
fn leads_elsewhere(target: &str) -> bool {
    target.is_empty() || target.starts_with('#') || target.contains(':')
}

/// The path from the repository's root; nothing if it leaves the repository.
fn resolve(folder: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in target.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "[a](../../README.md#top) [b](src) [c](https://x.y/z) [d](#here) [e](crate::f) [g](./src/lib.rs)\n";
        let repo =
            Repo::made_of(&[("README.md", ""), ("crates/a/README.md", text), ("crates/a/src/lib.rs", "")]);
        assert!(caught(&RULE, &repo).is_empty());
    }

    #[test]
    fn links_that_lead_nowhere_are_caught() {
        let text = "fine\n[a](gone.md)\n[b](../README.md)\n[c](/README.md)\n";
        let repo = Repo::made_of(&[("README.md", text)]);
        assert_eq!(caught(&RULE, &repo), ["README.md:2", "README.md:3", "README.md:4"]);
    }
}
