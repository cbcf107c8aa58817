//! The usual mistakes: what the compiler says of each, and of which line.
//!
//! Each file under `mistakes/` is a program with one fault. A comment `//~` marks the line the error has to point at, and
//! holds what it has to say: this crate's own words, or else the number of the error, so that a compiler that words its
//! own part differently passes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The libraries that the programs use.
struct Libraries {
    folder: PathBuf,
    genserver: PathBuf,
    serde: PathBuf,
}

/// An error: its line, and what is said there.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    line: usize,
    text: String,
}

impl Libraries {
    /// Those this test was built with, which lie beside it. There may be others, of other builds: the right ones are those
    /// with which the program without a fault compiles.
    fn find() -> Self {
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().unwrap().to_owned();
        for genserver in built(&folder, "genserver") {
            for serde in built(&folder, "serde") {
                let libraries = Self { folder: folder.clone(), genserver: genserver.clone(), serde };
                if libraries.compile(&programs().join("none.rs")).is_empty() {
                    return libraries;
                }
            }
        }
        panic!("the program without a mistake does not compile with what is in {}", folder.display());
    }

    /// The compiler's errors.
    fn compile(&self, program: &Path) -> Vec<Fault> {
        let out = self.folder.join("mistakes");
        fs::create_dir_all(&out).unwrap();
        let output = Command::new("rustc")
            .args([
                "--edition=2024",
                "--crate-type=lib",
                "--emit=metadata",
                "--error-format=short",
                "--cap-lints=allow",
            ])
            .arg(format!("--extern=genserver={}", self.genserver.display()))
            .arg(format!("--extern=serde={}", self.serde.display()))
            .arg(format!("-Ldependency={}", self.folder.display()))
            .arg(format!("--out-dir={}", out.display()))
            .arg(program)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // What it says beside that, of this crate's own lines, is no use to who made the mistake.
        let own = said.lines().filter(|line| line.starts_with(program.to_str().unwrap()));
        let faults: Vec<Fault> = own.filter_map(fault).collect();
        assert_eq!(output.status.success(), faults.is_empty(), "{}: {said}", program.display());
        faults
    }
}

/// Reads `path:line:column: error[code]: text`.
fn fault(line: &str) -> Option<Fault> {
    let (place, text) = line.split_once(": error")?;
    let number = place.rsplit(':').nth(1).and_then(|number| number.parse().ok());
    Some(Fault { line: number.unwrap_or(0), text: text.to_owned() })
}

/// The libraries of that name, the newest first.
fn built(folder: &Path, name: &str) -> Vec<PathBuf> {
    let prefix = format!("lib{name}-");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rlib"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix))
        .collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().modified().unwrap()));
    found
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

/// What the marks of a program want.
fn wanted(program: &Path) -> Vec<Fault> {
    let text = fs::read_to_string(program).unwrap();
    let marked =
        text.lines().enumerate().filter_map(|(number, line)| Some((number + 1, line.split_once("//~ ")?.1)));
    marked.map(|(line, text)| Fault { line, text: text.trim().to_owned() }).collect()
}

#[test]
fn each_mistake_is_named_at_the_line_where_it_is_made() {
    let libraries = Libraries::find();
    let mut programs: Vec<_> = fs::read_dir(programs()).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.retain(|program| program.file_stem().is_some_and(|name| name != "none"));
    programs.sort();
    assert!(programs.len() >= 10, "{programs:?}");
    for program in programs {
        let (wanted, found) = (wanted(&program), libraries.compile(&program));
        let name = program.file_name().unwrap().display();
        assert!(!wanted.is_empty(), "{name} marks no line");
        for found in &found {
            let marked = wanted.iter().any(|wanted| wanted.line == found.line);
            assert!(marked, "{name} is not marked where the compiler says: {found:?}");
        }
        for wanted in wanted {
            let said =
                found.iter().any(|found| found.line == wanted.line && found.text.contains(&wanted.text));
            assert!(said, "{name} wants {wanted:?}, the compiler says {found:#?}");
        }
    }
}
