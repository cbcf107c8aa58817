//! Dependencies point as drawn in `ARCHITECTURE.md`, and the crates without I/O stay without it.

use cargo_metadata::DependencyKind;

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::package::Package;
use crate::tidy::repo::Repo;

pub(super) const RULE: Rule = Rule { name: "dependency-arrows", check };

struct Node {
    package: &'static str,
    /// Drawn: the arrow must be there.
    on: &'static [&'static str],
    /// Allowed as well: the umbrella re-exports the layers below the two it is drawn over.
    may: &'static [&'static str],
}

const DRAWN: &[Node] = &[
    Node { package: "clusterluck-vclock", on: &[], may: &[] },
    Node { package: "clusterluck-hashring", on: &[], may: &[] },
    Node { package: "clusterluck-netkernel", on: &[], may: &[] },
    Node {
        package: "clusterluck-gossip",
        on: &["clusterluck-vclock", "clusterluck-hashring", "clusterluck-netkernel"],
        may: &[],
    },
    Node { package: "clusterluck-genserver", on: &["clusterluck-netkernel"], may: &[] },
    Node {
        package: "clusterluck",
        on: &["clusterluck-gossip", "clusterluck-genserver"],
        may: &["clusterluck-vclock", "clusterluck-hashring", "clusterluck-netkernel"],
    },
    Node { package: "clusterluck-cli", on: &["clusterluck"], may: &[] },
    // Its pages' Rust uses everything, as tests do: by development dependencies, which are no arrows.
    Node { package: "clusterluck-guide", on: &[], may: &[] },
    Node { package: "xtask", on: &[], may: &[] },
];

/// The crates that are only arithmetic.
const WITHOUT_IO: &[&str] = &["clusterluck-vclock", "clusterluck-hashring"];

/// Runtimes, sockets, randomness and clocks, by the packages that bring them.
const IO: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "async-io",
    "async-std",
    "smol",
    "hyper",
    "quinn",
    "rand",
    "rand_core",
    "fastrand",
    "getrandom",
    "chrono",
    "time",
    "jiff",
    "quanta",
    "web-time",
];

/// Strategies for users' own law tests: what lies behind this optional dependency is test machinery.
const TEST_MACHINERY: &str = "proptest";

fn check(repo: &Repo, findings: &mut Findings) {
    for package in &repo.packages {
        match DRAWN.iter().find(|node| node.package == package.name) {
            Some(node) => check_arrows(repo, package, node, findings),
            None => findings.error_at(
                &package.manifest(),
                1,
                format!(
                    "`{}` is not in the drawing: add it to ARCHITECTURE.md and to this rule",
                    package.name
                ),
            ),
        }
        if WITHOUT_IO.contains(&package.name.as_str()) {
            check_io(repo, package, findings);
        }
    }
}

fn check_arrows(repo: &Repo, package: &Package, node: &Node, findings: &mut Findings) {
    let arrows: Vec<&str> = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.package.as_str())
        .filter(|name| repo.packages.iter().any(|member| member.name == *name))
        .collect();
    for to in arrows.iter().filter(|to| !node.on.contains(to) && !node.may.contains(to)) {
        let line = line_of(repo, package, to);
        findings.error_at(
            &package.manifest(),
            line,
            format!("`{}` must not depend on `{to}`: meet at a trait of the lower crate", package.name),
        );
    }
    for to in node.on.iter().filter(|to| !arrows.contains(to)) {
        findings.error_at(
            &package.manifest(),
            1,
            format!(
                "the arrow from `{to}` is drawn but gone: use it, or redraw ARCHITECTURE.md and this rule"
            ),
        );
    }
}

fn check_io(repo: &Repo, package: &Package, findings: &mut Findings) {
    let roots = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .filter(|dependency| !(dependency.optional && dependency.package == TEST_MACHINERY))
        .map(|dependency| dependency.package.clone());
    for (reached, path) in repo.graph.reach(roots) {
        if IO.contains(&reached.as_str()) {
            findings.error_at(
                &package.manifest(),
                line_of(repo, package, &path[0]),
                format!(
                    "`{}` reaches `{}`: take time, randomness and I/O as arguments",
                    package.name,
                    path.join("` → `")
                ),
            );
        }
    }
}

/// The line of the manifest that declares a dependency, by its package name or by the workspace's alias for it.
fn line_of(repo: &Repo, package: &Package, dependency: &str) -> usize {
    let alias = package.dependencies.iter().find(|known| known.package == dependency);
    let names = [Some(dependency), alias.map(|known| known.code_name.as_str())];
    let declares = |line: &str| {
        names.iter().flatten().any(|name| {
            line.trim_start().strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
        })
    };
    let text = repo.file(&package.manifest()).map_or("", |file| &file.text);
    text.lines().position(declares).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    #[test]
    fn arrows_as_drawn_pass() {
        let repo = Repo::made_of(&[])
            .with(Package::made_of("clusterluck-vclock", &["smallvec"]))
            .with(Package::made_of("clusterluck-netkernel", &["tokio"]))
            .with(Package::made_of("clusterluck-genserver", &["clusterluck-netkernel", "tokio"]));
        assert!(caught(&RULE, &repo).is_empty());
    }

    #[test]
    fn a_sideways_arrow_is_caught_on_its_line() {
        let manifest = "[dependencies]\nnetkernel.workspace = true\ngossip = { workspace = true }\n";
        let repo = Repo::made_of(&[("crates/genserver/Cargo.toml", manifest)])
            .with(Package::made_of("clusterluck-netkernel", &[]))
            .with(Package::made_of(
                "clusterluck-gossip",
                &["clusterluck-vclock", "clusterluck-hashring", "clusterluck-netkernel"],
            ))
            .with(Package::made_of("clusterluck-vclock", &[]))
            .with(Package::made_of("clusterluck-hashring", &[]))
            .with(Package::made_of(
                "clusterluck-genserver",
                &["clusterluck-netkernel", "clusterluck-gossip"],
            ));
        assert_eq!(caught(&RULE, &repo), ["crates/genserver/Cargo.toml:3"]);
    }

    #[test]
    fn a_layer_on_the_umbrella_and_an_unknown_crate_are_caught() {
        let repo = Repo::made_of(&[])
            .with(Package::made_of("clusterluck-netkernel", &["clusterluck"]))
            .with(Package::made_of("clusterluck", &["clusterluck-gossip", "clusterluck-genserver"]))
            .with(Package::made_of(
                "clusterluck-gossip",
                &["clusterluck-vclock", "clusterluck-hashring", "clusterluck-netkernel"],
            ))
            .with(Package::made_of("clusterluck-genserver", &["clusterluck-netkernel"]))
            .with(Package::made_of("clusterluck-vclock", &[]))
            .with(Package::made_of("clusterluck-hashring", &[]))
            .with(Package::made_of("clusterluck-tables", &[]));
        assert_eq!(caught(&RULE, &repo), ["crates/netkernel/Cargo.toml:1", "crates/tables/Cargo.toml:1"]);
    }

    #[test]
    fn a_missing_arrow_is_caught() {
        let repo = Repo::made_of(&[]).with(Package::made_of("clusterluck-genserver", &[]));
        assert_eq!(caught(&RULE, &repo), ["crates/genserver/Cargo.toml:1"]);
    }

    #[test]
    fn randomness_behind_a_dependency_is_caught() {
        let mut repo = Repo::made_of(&[]).with(Package::made_of("clusterluck-hashring", &["blake3"]));
        assert!(caught(&RULE, &repo).is_empty());
        repo.graph.add("blake3", "digest");
        repo.graph.add("digest", "rand_core");
        assert_eq!(caught(&RULE, &repo), ["crates/hashring/Cargo.toml:1"]);
    }

    #[test]
    fn test_machinery_may_be_random_only_while_optional() {
        let mut repo =
            Repo::made_of(&[]).with(Package::made_of("clusterluck-vclock", &[]).with_optional("proptest"));
        repo.graph.add("proptest", "rand");
        assert!(caught(&RULE, &repo).is_empty());

        let mut repo = Repo::made_of(&[]).with(Package::made_of("clusterluck-vclock", &["proptest"]));
        repo.graph.add("proptest", "rand");
        assert_eq!(caught(&RULE, &repo), ["crates/vclock/Cargo.toml:1"]);
    }
}
