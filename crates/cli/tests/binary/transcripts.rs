//! The guide's transcripts are what happens: its commands are typed as they stand into a shell, and what they print is
//! held to what the page shows.
//!
//! The pages' addresses and ports need a network of one's own. Where a machine does not allow that, each test says so
//! loudly and ends.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::guide::{files_in, read};
use crate::support::{Place, in_time};

/// What is typed, one thing after the other.
enum Step {
    /// The block of a page that begins with this line, as it stands.
    Block(&'static str, &'static str),
    /// The block that starts a node, but for its id, its machine, and the folder of its data: all run on one machine.
    Node(&'static str, &'static str),
    /// What the text tells of around its blocks.
    Shell(&'static str),
}
use Step::{Block, Node, Shell};

#[tokio::test]
async fn two_nodes_by_hand() {
    let steps = [
        Block("getting-started", "$ cargo install"),
        Block("getting-started", "$ clusterluck\n"),
        Block("sharding", "$ clusterluck update n2"),
    ];
    assert_transcripts("two nodes", &steps).await;
}

#[tokio::test]
async fn three_machines_and_their_operation() {
    let steps = [
        Block("three-machines", "$ clusterluck cookie new cookie"),
        Shell("chmod 644 cookie"),
        Block("three-machines", "$ clusterluck --cookie-file cookie start ash"),
        Shell("chmod 600 cookie"),
        Node("ash", "11"),
        Node("birch", "12"),
        Node("cedar", "13"),
        Block("three-machines", "$ clusterluck -H 10.0.0.11 inspect"),
        Block("operations", "$ clusterluck -H 10.0.0.11 members"),
        Block("operations", "$ clusterluck -H 10.0.0.11 --json get birch"),
        Shell("clusterluck cookie new other >other.out"),
        Block("security", "$ clusterluck -H 10.0.0.11 --cookie-file other ping"),
        Shell(STRANGER),
        Shell("kill -TERM $cedar; wait $cedar"),
        Block("operations", "$ clusterluck start ash --listen 10.0.0.11:7055"),
        Node("cedar", "13"),
        Shell("kill -STOP $cedar"),
        Block("operations", "$ clusterluck -H 10.0.0.11 --timeout 1s update birch"),
        Shell("kill -CONT $cedar; clusterluck -H 10.0.0.11 update birch"),
        Shell(NAMESAKE),
        Block("operations", "$ clusterluck -H 10.0.0.13 leave"),
        Shell("until grep -q 'not met yet' stranger.log; do :; done"),
    ];
    let logs = assert_transcripts("three machines", &steps).await;
    if logs.is_empty() {
        return;
    }
    // The pages show some lines of these logs.
    let logs: Vec<String> =
        logs.lines().filter_map(|line| line.split_once("Z ")).map(|(_, said)| plain(said)).collect();
    for page in files_in("docs/pages") {
        let shown = read(&page);
        for line in shown.lines().filter(|line| line.starts_with("INFO ") || line.starts_with("WARN ")) {
            assert!(logs.contains(&plain(line)), "{page}: no node has said {line:?}, but {logs:#?}");
        }
    }
}

/// Types it all into one shell, and holds what is printed to what is shown. Gives what the nodes have logged.
async fn assert_transcripts(name: &str, steps: &[Step]) -> String {
    let (mut script, mut shown) = (String::new(), Vec::new());
    for step in steps {
        match step {
            Block(page, begins) => type_in(&block(page, begins), &mut script, &mut shown),
            Node(id, machine) => {
                let block = block("three-machines", "$ export CLUSTERLUCK_COOKIE_FILE");
                let block = block.replace("ash", id).replace("-11", &format!("-{machine}"));
                let block = block.replacen("10.0.0.11", &format!("10.0.0.{machine}"), 1);
                let block = block.replace("data ", &format!("data/{id} "));
                let block = block.replace("-H 10.0.0.11", &format!("-H 10.0.0.{machine}"));
                type_in(
                    &block.replace("at 10.0.0.11", &format!("at 10.0.0.{machine}")),
                    &mut script,
                    &mut shown,
                );
            }
            Shell(line) => script += &format!("{line}\nsettled\n"),
        }
    }
    let place = Place::new();
    std::fs::remove_file(place.cookie()).unwrap();
    let Some(printed) = run(&place, name, &script).await else { return String::new() };
    let printed: Vec<&str> = printed.split(MARK).skip(1).step_by(2).collect();
    assert_eq!(printed.len(), shown.len(), "the shell ended early: {printed:#?}");
    for ((command, expected), printed) in shown.iter().zip(printed) {
        assert_eq!(alike(command, printed), alike(command, expected), "{name}: $ {command}\n{printed}");
    }
    let logs = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path());
    let logs = logs.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
    logs.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// The block of a page of the guide that begins so.
fn block(page: &str, begins: &str) -> String {
    let text = read(&format!("docs/pages/{page}.md"));
    let blocks = text.split("\n```").filter_map(|part| part.split_once('\n'));
    let found = blocks.map(|(_, block)| format!("{block}\n")).find(|block| block.starts_with(begins));
    found.unwrap_or_else(|| panic!("{page} has no block that begins with {begins:?}")).replace("\\\n", "")
}

/// Adds the commands of a block to the script, and each with what is shown behind it to what has to be printed.
fn type_in(block: &str, script: &mut String, shown: &mut Vec<(String, String)>) {
    for part in format!("\n{block}").split("\n$ ").skip(1) {
        let (command, expected) = part.split_once('\n').unwrap_or((part, ""));
        // The binary is there already.
        if command.starts_with("cargo ") {
            continue;
        }
        let (command, expected) = match command {
            "clusterluck" => session(expected),
            _ => (command.to_owned(), expected.to_owned()),
        };
        // A node runs on beside what comes next, once it is ready; one that is to fail does so in front.
        let starts = if expected.starts_with("ready") { "node " } else { "" };
        let typed = command.trim_end_matches('&');
        *script += &format!("printf '{MARK}'\n{starts}{typed}\nprintf '{MARK}'\nsettled\n");
        shown.push((command, expected));
    }
}

/// A session as it is shown: its lines piped in, and what is shown between the prompts.
fn session(shown: &str) -> (String, String) {
    let prompted = |line: &str| line.strip_prefix("n1> ").map(str::to_owned);
    let (typed, answers): (Vec<&str>, Vec<&str>) =
        shown.lines().skip(1).partition(|line| prompted(line).is_some());
    let quoted: Vec<String> =
        typed.into_iter().filter_map(prompted).map(|line| format!("'{line}'")).collect();
    (format!("printf '%s\\n' {} | clusterluck", quoted.join(" ")), answers.join("\n"))
}

/// All that the script has printed, unless this machine does not allow it a network.
async fn run(place: &Place, name: &str, script: &str) -> Option<String> {
    let network =
        "set -e; ip link set lo up; for at in 11 12 13; do ip addr add 10.0.0.$at/32 dev lo; done; set +e";
    let unshared = |script: &str| {
        let mut shell = Command::new("unshare");
        shell.args(["--user", "--map-root-user", "--net", "bash", "-c", script]);
        shell.stdin(Stdio::null()).kill_on_drop(true);
        shell
    };
    let why = match unshared(network).output().await {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = why {
        eprintln!("NOT TESTED: the transcripts of `{name}` need a network of their own ({why})");
        return None;
    }
    let mut shell = unshared(&[network, PROLOGUE, script].join("\n"));
    let binary = place.binary();
    for (name, value) in binary.as_std().get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let folder = Path::new(binary.as_std().get_program()).parent().expect("it is in a folder");
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    shell.env("PATH", path).env("CLUSTERLUCK_OUTPUT", "text").current_dir(place.path());
    let output = in_time(shell.output()).await.unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What is the same in every run: words, ids, addresses, shares. Times differ, and what a link has counted.
fn alike(command: &str, text: &str) -> Vec<String> {
    let counts = [" info", " servers"].iter().any(|what| command.ends_with(what));
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let unit = |at: usize| words.get(at).is_some_and(|word| ["µs", "ms", "s"].contains(word));
        let word = |(at, word): (usize, &&str)| match word.chars().next() {
            Some('0'..='9') if unit(at + 1) || counts && !word.contains(['.', ':']) => Some("N".to_owned()),
            _ if at > 0 && unit(at) => None,
            _ => Some((*word).to_owned()),
        };
        words.iter().enumerate().filter_map(word).collect::<Vec<_>>().join(" ")
    };
    text.trim().lines().map(line).collect()
}

/// A line of a log without its numbers.
fn plain(line: &str) -> String {
    let mut plain = line.trim().replace(|letter: char| letter.is_ascii_digit(), "#");
    while plain.contains("##") {
        plain = plain.replace("##", "#");
    }
    plain
}

/// Stands before and behind what a command of a page prints.
const MARK: &str = "\u{1}";

/// A node of another cookie, and one of an id that is taken.
const STRANGER: &str = "clusterluck --cookie-file other start dogwood --listen 10.0.0.13:7055 --meet 10.0.0.11:7022 \
                        >stranger.out 2>stranger.log &";
const NAMESAKE: &str = "clusterluck start cedar --listen 10.0.0.11:7055 --meet 10.0.0.11:7022 >namesake.out \
                        2>namesake.log & until grep -q 'in no ring' namesake.log; do :; done";

/// `node` runs a node beside the shell, and returns when it is ready; a variable of its id holds its process. `settled`
/// waits until all nodes that run and are in a ring see the same.
const PROLOGUE: &str = r#"
exec 2>&1
trap 'kill -KILL $(jobs -p) 2>/dev/null' EXIT
nodes=()
node() {
    rm -f "$3.out"
    "$@" >"$3.out" 2>>"$3.log" &
    declare -g "$3=$!"
    until grep -qs ready "$3.out"; do kill -0 $! || return; done
    cat "$3.out"
    nodes+=("$! $(sed 's/.* at \(.*\):\([0-9]*\), in ring.*/\1 \2/' "$3.out")")
}
seen() {
    local node
    for node in "${nodes[@]}"; do
        set -- $node
        if grep -q '^State:.[SR]' "/proc/$1/status" 2>/dev/null; then
            clusterluck -H "$2" -p "$3" inspect | grep -o 'fingerprint .*'
        fi
    done | sort -u | wc -l
}
settled() {
    until [ "$(seen)" -le 1 ]; do :; done
}
"#;
