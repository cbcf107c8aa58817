//! The work tree as the rules see it: text files, parsed sources, packages.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::MetadataCommand;

use super::package::{self, Graph, Package};
use super::source::Source;

pub(super) struct File {
    /// Relative to the root, with `/` between names.
    pub(super) path: String,
    pub(super) text: String,
    /// Set for a `.rs` file; an error when it does not parse.
    pub(super) source: Option<syn::Result<Source>>,
    /// The whole file is test code: it stands under `tests/`, or its module is declared under `cfg(test)`.
    whole_test: bool,
}

impl File {
    fn new(path: String, text: String) -> Self {
        let source = path.ends_with(".rs").then(|| Source::parse(&text));
        let whole_test = path.split('/').any(|name| name == "tests");
        Self { path, text, source, whole_test }
    }

    /// The parsed source, if this is Rust.
    pub(super) fn rust(&self) -> Option<&Source> {
        self.source.as_ref()?.as_ref().ok()
    }

    pub(super) fn is_test(&self, line: usize) -> bool {
        self.whole_test || self.rust().is_some_and(|source| source.is_test(line))
    }

    /// Whether one of the folders it stands in has this name.
    pub(super) fn is_under(&self, folder: &str) -> bool {
        self.folders().any(|name| name == folder)
    }

    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    fn folders(&self) -> impl Iterator<Item = &str> {
        self.path.rsplit('/').skip(1)
    }
}

#[derive(Default)]
pub(super) struct Repo {
    files: Vec<File>,
    /// Every path there is, also of files that are not text.
    paths: Vec<String>,
    pub(super) packages: Vec<Package>,
    pub(super) graph: Graph,
}

impl Repo {
    pub(super) fn load(root: &Path) -> Result<Self> {
        let paths: Vec<String> = listed(root)?.into_iter().filter(|path| root.join(path).is_file()).collect();
        let mut files = Vec::new();
        for path in &paths {
            let bytes = std::fs::read(root.join(path)).with_context(|| format!("reading {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File::new(path.clone(), text));
            }
        }
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .features(cargo_metadata::CargoOpt::AllFeatures)
            .exec()
            .context("cargo metadata")?;
        let (packages, graph) = package::read(root, &metadata)?;
        let mut repo = Self { files, paths, packages, graph };
        repo.mark_test_modules();
        Ok(repo)
    }

    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.rust()?)))
    }

    /// The sources that are compiled into a package's library: its `src/`.
    pub(super) fn library_sources<'a>(
        &'a self,
        package: &'a Package,
    ) -> impl Iterator<Item = (&'a File, &'a Source)> {
        let src = format!("{}/src/", package.folder);
        self.rust().filter(move |(file, _)| file.path.starts_with(&src) && !file.is_under("bin"))
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.iter().any(|known| known == path)
    }

    pub(super) fn has_folder(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.paths.iter().any(|known| known.starts_with(&folder))
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A file whose module is declared under `cfg(test)` is test code, and so is everything below it.
    fn mark_test_modules(&mut self) {
        let mut places = Vec::new();
        for (file, source) in self.rust() {
            let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
            let own = match name {
                "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
                name => format!("{folder}/{}", name.trim_end_matches(".rs")),
            };
            for module in source.test_modules() {
                match module.strip_suffix(".rs") {
                    Some(explicit) => places.push(format!("{folder}/{explicit}")),
                    None => places.push(format!("{own}/{module}")),
                }
            }
        }
        for file in &mut self.files {
            let inside = |place: &String| {
                file.path
                    .strip_prefix(place.as_str())
                    .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            file.whole_test |= places.iter().any(inside);
        }
    }
}

/// Tracked files, and untracked ones that nothing ignores.
fn listed(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("running git ls-files")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(names.split_terminator('\0').map(str::to_owned).collect())
}

#[cfg(test)]
impl Repo {
    pub(super) fn made_of(files: &[(&str, &str)]) -> Self {
        let mut repo = Self {
            files: files
                .iter()
                .map(|(path, text)| File::new((*path).to_owned(), (*text).to_owned()))
                .collect(),
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            ..Self::default()
        };
        repo.mark_test_modules();
        repo
    }

    pub(super) fn with(mut self, package: Package) -> Self {
        for dependency in &package.dependencies {
            self.graph.add(&package.name, &dependency.package);
        }
        self.packages.push(package);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_code_is_known_in_every_place_it_may_stand() {
        let repo = Repo::made_of(&[
            ("crates/a/src/lib.rs", "fn code() {}\n#[cfg(test)]\nmod laws;\nmod ring;\n"),
            ("crates/a/src/laws.rs", "fn law() {}\n"),
            ("crates/a/src/laws/deep.rs", "fn law() {}\n"),
            ("crates/a/src/ring.rs", "#[cfg(test)]\nmod tests;\n"),
            ("crates/a/src/ring/tests.rs", "fn fact() {}\n"),
            ("crates/a/tests/facts.rs", "fn fact() {}\n"),
        ]);
        let tests: Vec<_> =
            repo.files().iter().filter(|file| file.is_test(1)).map(|file| file.path.as_str()).collect();
        assert_eq!(
            tests,
            [
                "crates/a/src/laws.rs",
                "crates/a/src/laws/deep.rs",
                "crates/a/src/ring.rs",
                "crates/a/src/ring/tests.rs",
                "crates/a/tests/facts.rs"
            ]
        );
    }
}
