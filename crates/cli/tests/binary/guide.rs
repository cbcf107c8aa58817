//! What the guide and the READMEs tell people to type is what the binary takes, and the examples of deployment run nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Node, Place, eventually};

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder of the repository.
pub(crate) fn files_in(folder: &str) -> Vec<String> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| format!("{folder}/{name}")).collect()
}

/// The arguments given to `clusterluck` on each line after a prompt; lines that end in a backslash go on.
fn command_lines(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let prompted = joined.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
    prompted
        .filter_map(|line| {
            let words = shlex::split(line).unwrap_or_else(|| panic!("a shell cannot read {line:?}"));
            // A user or a ring may be called so too.
            let is_binary =
                |at: &usize| words[*at] == "clusterluck" && words.get(at + 1) != Some(&words[*at]);
            let binary = (0..words.len()).find(is_binary)?;
            let arguments = words[binary + 1..].iter();
            Some(arguments.take_while(|word| !["|", "&", ">"].contains(&word.as_str())).cloned().collect())
        })
        .collect()
}

#[test]
fn command_lines_are_found_where_they_stand() {
    let text = "$ sudo -u clusterluck clusterluck join clusterluck \\\n    'a b' | jq\nno $ clusterluck\n$ cargo run\n";
    assert_eq!(command_lines(text), [["join", "clusterluck", "a b"]]);
}

#[tokio::test]
async fn the_binary_takes_every_command_line_that_is_shown() {
    let place = Place::new();
    // With `--help` at its end, a line is read up to there and nothing is done.
    for wrong in [["start", "x", "--lisen", "h:1"], ["start", "x", "--listen", "h"]] {
        assert!(!place.run(&[&wrong[..], &["--help"]].concat()).await.success, "{wrong:?} was taken");
    }
    let mut seen = BTreeSet::new();
    for file in [files_in("docs/pages"), vec!["README.md".into(), "crates/cli/README.md".into()]].concat() {
        for mut line in command_lines(&read(&file)) {
            line.push("--help".to_owned());
            let arguments: Vec<&str> = line.iter().map(String::as_str).collect();
            let run = place.run(&arguments).await;
            assert!(run.success, "{file}: clusterluck {}: {}{}", line.join(" "), run.out, run.err);
            seen.insert(line);
        }
    }
    assert!(seen.len() > 20, "only {} lines were found", seen.len());
}

#[tokio::test]
async fn the_binary_knows_every_variable_that_is_shown() {
    let place = Place::new();
    let known = place.run(&["start", "--help"]).await.out + &place.run(&["--help"]).await.out;
    for file in [files_in("docs/pages"), files_in("docs/deploy")].concat() {
        let text = read(&file);
        let words = text.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
        for variable in words.filter(|word| word.starts_with("CLUSTERLUCK_")) {
            assert!(known.contains(variable), "{file}: {variable} means nothing to the binary");
        }
    }
}

/// The arguments given to `clusterluck` by a unit file, a Dockerfile, or a manifest's lists of words.
fn deployed_lines(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim) {
        let words = if let Some(command) = line.strip_prefix("ExecStart=") {
            shlex::split(command).unwrap()
        } else if let (true, Some(at)) = (line.ends_with(']'), line.find('[')) {
            match (serde_json::from_str::<Vec<String>>(&line[at..]), &line[..at]) {
                (Ok(words), "args: " | "CMD ") => [vec!["clusterluck".to_owned()], words].concat(),
                (Ok(words), "command: " | "ENTRYPOINT ") => words,
                (Ok(words), "test: ") => words[1..].to_vec(),
                _ => continue,
            }
        } else {
            continue;
        };
        assert!(words[0].ends_with("clusterluck"), "{line} runs something else");
        found.push(words[1..].to_vec());
    }
    found
}

#[tokio::test]
async fn the_binary_takes_what_the_examples_of_deployment_run() {
    let place = Place::new();
    let mut seen = BTreeMap::new();
    for name in ["Dockerfile", "clusterluck.service", "compose.yaml", "kubernetes.yaml"] {
        for mut line in deployed_lines(&read(&format!("docs/deploy/{name}"))) {
            line.push("--help".to_owned());
            let run = place.run(&line.iter().map(String::as_str).collect::<Vec<_>>()).await;
            assert!(run.success, "{name}: {line:?}: {}{}", run.out, run.err);
            *seen.entry(name).or_insert(0) += 1;
        }
    }
    assert_eq!(
        seen,
        BTreeMap::from([
            ("Dockerfile", 2),
            ("clusterluck.service", 1),
            ("compose.yaml", 1),
            ("kubernetes.yaml", 3)
        ])
    );
}

/// The variables an example sets: `NAME=value` in an environment file, `NAME: value` in Compose, a `name` and a `value`
/// in Kubernetes.
fn variables(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut named = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("- name: ") {
            named = Some(name.to_owned());
        } else if let Some(value) = line.strip_prefix("value: ") {
            found.extend(named.take().map(|name| (name, value.trim_matches('"').to_owned())));
        } else if line.starts_with("CLUSTERLUCK_")
            && let Some((name, value)) = line.split_once(['=', ':'])
        {
            found.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    found
}

/// Starts a node as the example says, but for what this machine does not have: its addresses, cookie and folders.
async fn deployed<'a>(place: &'a Place, example: &str, id: &str, port: &str) -> Node<'a> {
    let mut command = place.binary();
    command.args(["--json", "start", "--stop-on-eof", "--cookie-file"]).arg(place.cookie());
    for (name, value) in variables(example) {
        let value = match name.as_str() {
            "CLUSTERLUCK_ID" => id.to_owned(),
            "CLUSTERLUCK_LISTEN" => "127.0.0.1:0".to_owned(),
            "CLUSTERLUCK_DATA_DIR" => place.path().join(id).display().to_string(),
            "CLUSTERLUCK_MEET" if value.starts_with("dns:") => format!("dns:localhost:{port}"),
            "CLUSTERLUCK_MEET" => vec![format!("127.0.0.1:{port}"); value.split(',').count()].join(","),
            "CLUSTERLUCK_ADVERTISE" | "CLUSTERLUCK_COOKIE" => continue,
            _ => value,
        };
        command.env(name, value);
    }
    // Compose leaves these two to the image.
    command.env("CLUSTERLUCK_ID", id).env("CLUSTERLUCK_LISTEN", "127.0.0.1:0");
    place.started(id, command).await
}

#[tokio::test]
async fn the_examples_of_deployment_run_nodes_that_find_each_other() {
    for file in ["node.env", "compose.yaml", "kubernetes.yaml"] {
        let example = read(&format!("docs/deploy/{file}"));
        assert!(variables(&example).contains_key("CLUSTERLUCK_MEET"), "{file}: {:?}", variables(&example));
        let place = Place::new();
        let first = deployed(&place, &example, "n0", "1").await;
        let second = deployed(&place, &example, "n1", &first.port).await;
        let third = deployed(&place, &example, "n2", &first.port).await;
        for node in [&first, &second, &third] {
            eventually(&format!("`{}` of {file} is one of three", node.id), async || {
                node.data(&["nodes"]).await.as_array().unwrap().len() == 3
            })
            .await;
        }
    }
}
