//! The workspace's packages and what they depend on, as far as the rules need it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, TargetKind};

#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    /// The package's name on the registry.
    pub(crate) package: String,
    /// What code calls it.
    pub(crate) code_name: String,
    pub(crate) optional: bool,
    pub(crate) kind: DependencyKind,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, relative to the root: `crates/vclock`.
    pub(crate) folder: String,
    pub(crate) published: bool,
    /// Whether it has a library that others can use.
    pub(crate) library: bool,
    pub(crate) dependencies: Vec<Dependency>,
    /// What of `description`, `license` and so on the manifest leaves out.
    pub(crate) missing_metadata: Vec<&'static str>,
}

impl Package {
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

/// Which package, by name, is built with which: normal and build dependencies, every feature on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph(BTreeMap<String, BTreeSet<String>>);

impl Graph {
    pub(crate) fn add(&mut self, from: &str, to: &str) {
        self.0.entry(from.to_owned()).or_default().insert(to.to_owned());
    }

    /// Every package reachable from `roots`, with the path that leads there, shortest first.
    pub(crate) fn reach(&self, roots: impl IntoIterator<Item = String>) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut next: Vec<Vec<String>> = roots.into_iter().map(|root| vec![root]).collect();
        while !next.is_empty() {
            let paths = std::mem::take(&mut next);
            for path in paths {
                let last = path.last().expect("a path starts with its root").clone();
                if found.contains_key(&last) {
                    continue;
                }
                for to in self.0.get(&last).into_iter().flatten() {
                    next.push([path.clone(), vec![to.clone()]].concat());
                }
                found.insert(last, path);
            }
        }
        found
    }
}

pub(super) fn read(root: &Path, metadata: &Metadata) -> Result<(Vec<Package>, Graph)> {
    let packages = metadata
        .workspace_packages()
        .into_iter()
        .map(|package| from_metadata(root, package))
        .collect::<Result<_>>()?;
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let resolve = metadata.resolve.as_ref().context("cargo metadata left out the resolved graph")?;
    let mut graph = Graph::default();
    for node in &resolve.nodes {
        for dependency in &node.deps {
            if dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development) {
                graph.add(names[&node.id], names[&dependency.pkg]);
            }
        }
    }
    Ok((packages, graph))
}

fn from_metadata(root: &Path, package: &cargo_metadata::Package) -> Result<Package> {
    let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
    let folder = folder.as_std_path().strip_prefix(root).context("a member lies in the workspace")?;
    let dependencies = package.dependencies.iter().map(|dependency| Dependency {
        package: dependency.name.clone(),
        code_name: dependency.rename.as_ref().unwrap_or(&dependency.name).replace('-', "_"),
        optional: dependency.optional,
        kind: dependency.kind,
    });
    let missing = [
        ("description", package.description.is_none()),
        ("license", package.license.is_none()),
        ("documentation", package.documentation.is_none()),
        ("readme", package.readme.is_none()),
        ("keywords", package.keywords.is_empty()),
        ("categories", package.categories.is_empty()),
        ("rust-version", package.rust_version.is_none()),
    ];
    Ok(Package {
        name: package.name.to_string(),
        folder: folder.to_string_lossy().replace('\\', "/"),
        published: package.publish.as_ref().is_none_or(|registries| !registries.is_empty()),
        library: package.targets.iter().any(|target| target.kind.contains(&TargetKind::Lib)),
        dependencies: dependencies.collect(),
        missing_metadata: missing.iter().filter(|(_, missing)| *missing).map(|(field, _)| *field).collect(),
    })
}

#[cfg(test)]
impl Package {
    /// A published library in `crates/<name>`.
    pub(crate) fn made_of(name: &str, dependencies: &[&str]) -> Self {
        let dependency = |name: &&str| Dependency {
            package: (*name).to_owned(),
            code_name: name.trim_start_matches("clusterluck-").replace('-', "_"),
            optional: false,
            kind: DependencyKind::Normal,
        };
        Self {
            name: name.to_owned(),
            folder: format!("crates/{}", name.trim_start_matches("clusterluck-")),
            published: true,
            library: true,
            dependencies: dependencies.iter().map(dependency).collect(),
            missing_metadata: Vec::new(),
        }
    }

    pub(crate) fn with_optional(mut self, name: &str) -> Self {
        let mut dependency = Self::made_of("", &[name]).dependencies.remove(0);
        dependency.optional = true;
        self.dependencies.push(dependency);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reach_gives_the_shortest_path() {
        let mut graph = Graph::default();
        for (from, to) in [("a", "b"), ("b", "c"), ("c", "d"), ("a", "c"), ("d", "a")] {
            graph.add(from, to);
        }
        assert_eq!(graph.reach(["a".to_owned()])["d"], ["a", "c", "d"]);
    }
}
