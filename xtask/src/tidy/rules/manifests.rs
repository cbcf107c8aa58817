//! Every published crate can be published, and every crate obeys the workspace's lints.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::Repo;

pub(super) const RULE: Rule = Rule { name: "manifests", check };

const BESIDE: &[&str] = &["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

fn check(repo: &Repo, findings: &mut Findings) {
    for package in &repo.packages {
        let manifest = package.manifest();
        if repo.file(&manifest).is_some_and(|file| !inherits_lints(&file.text)) {
            findings.error_at(&manifest, 1, "add `[lints] workspace = true`");
        }
        if !package.published {
            continue;
        }
        for name in BESIDE {
            if !repo.has(&format!("{}/{name}", package.folder)) {
                findings.error_at(
                    &manifest,
                    1,
                    format!("`{}` is published without {name}: add it", package.name),
                );
            }
        }
        for field in &package.missing_metadata {
            findings.error_at(
                &manifest,
                1,
                format!("`{}` is published without `{field}`: add it", package.name),
            );
        }
    }
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim);
    manifest.lines().any(|line| line.trim() == "lints.workspace = true")
        || lines.any(|line| line == "[lints]") && lines.next() == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;
    use crate::tidy::package::Package;

    const MANIFEST: (&str, &str) =
        ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n");

    fn complete() -> Vec<(&'static str, &'static str)> {
        vec![
            MANIFEST,
            ("crates/a/README.md", ""),
            ("crates/a/CHANGELOG.md", ""),
            ("crates/a/LICENSE-MIT", ""),
            ("crates/a/LICENSE-APACHE", ""),
        ]
    }

    #[test]
    fn a_complete_crate_passes() {
        let repo = Repo::made_of(&complete()).with(Package::made_of("clusterluck-a", &[]));
        assert!(caught(&RULE, &repo).is_empty());
    }

    #[test]
    fn a_missing_file_or_field_is_caught() {
        let repo = Repo::made_of(&complete()[..4]).with(Package::made_of("clusterluck-a", &[]));
        assert_eq!(caught(&RULE, &repo).len(), 1);
        let mut package = Package::made_of("clusterluck-a", &[]);
        package.missing_metadata = vec!["keywords", "license"];
        assert_eq!(caught(&RULE, &Repo::made_of(&complete()).with(package)).len(), 2);
    }

    #[test]
    fn a_crate_without_the_lints_is_caught() {
        let mut package = Package::made_of("clusterluck-a", &[]);
        package.published = false;
        let repo = Repo::made_of(&[("crates/a/Cargo.toml", "[package]\nname = \"a\"\n")]).with(package);
        assert_eq!(caught(&RULE, &repo), ["crates/a/Cargo.toml:1"]);
    }
}
