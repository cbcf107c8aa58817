//! Nodes to run commands on. Every wait ends with a fact or a deadline, and whatever is started dies with the test.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::schemas::assert_valid;

/// A folder with a cookie, and a home of its own for whatever is run.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let cookie = clusterluck::netkernel::Cookie::generate().unwrap();
        cookie.write_new_file(place.cookie()).unwrap();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn cookie(&self) -> PathBuf {
        self.path().join("cookie")
    }

    /// A file of this content that only its owner can read.
    pub(crate) fn private_file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The binary, in this place: nothing of the user's settings reaches it.
    pub(crate) fn binary(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clusterluck"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CLUSTERLUCK"))
        {
            command.env_remove(name);
        }
        command.env("HOME", self.path()).env("XDG_CONFIG_HOME", self.path().join("config"));
        command.env("TMPDIR", self.path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs the binary to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        finished(self.binary().args(arguments)).await
    }

    /// Starts a node on a free port with this place's cookie.
    pub(crate) async fn node(&self, id: &str, more: &[&str]) -> Node<'_> {
        let mut command = self.binary();
        command.args(["--json", "start", id, "--listen", "127.0.0.1:0", "--stop-on-eof"]);
        if !more.contains(&"--cookie-file") {
            command.arg("--cookie-file").arg(self.cookie());
        }
        command.args(more);
        self.started(id, command).await
    }

    /// Runs a command that starts a node, and waits until it is ready.
    pub(crate) async fn started(&self, id: &str, mut command: Command) -> Node<'_> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let life = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = in_time(lines.next_line()).await.unwrap();
        let Some(line) = line else {
            let mut log = String::new();
            child.stderr.take().unwrap().read_to_string(&mut log).await.unwrap();
            panic!("`{id}` did not become ready: {log}");
        };
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["ok"], true, "{line}");
        assert_valid("start", &ready);
        let port = ready["data"]["port"].as_u64().unwrap().to_string();
        Node { place: self, id: id.to_owned(), port, ready, child, life }
    }
}

/// A node in a process of its own.
pub(crate) struct Node<'a> {
    place: &'a Place,
    pub(crate) id: String,
    pub(crate) port: String,
    /// The document it printed when it was ready.
    pub(crate) ready: Value,
    pub(crate) child: Child,
    life: Option<ChildStdin>,
}

impl Node<'_> {
    /// Runs a command against this node.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        let cookie = self.place.cookie();
        let mut command = self.place.binary();
        command.args(["-I", &self.id, "-p", &self.port, "--cookie-file"]).arg(cookie).args(arguments);
        finished(&mut command).await
    }

    /// The data of a command that has to succeed.
    pub(crate) async fn data(&self, arguments: &[&str]) -> Value {
        let run = self.run(arguments).await;
        let document = run.document();
        assert_eq!(document["ok"], true, "{arguments:?}: {document}");
        assert_valid(arguments[0], &document);
        assert!(run.success, "{arguments:?} ended with a failure");
        document["data"].clone()
    }

    /// A change that has to succeed: it says so and no more.
    pub(crate) async fn change(&self, arguments: &[&str]) {
        let document = self.run(arguments).await.document();
        assert_eq!(document, serde_json::json!({"ok": true}), "{arguments:?}");
        assert_valid(arguments[0], &document);
    }

    /// The node still answers.
    pub(crate) async fn assert_unharmed(&self) {
        assert_eq!(self.data(&["ping"]).await, "pong");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("the node runs")).unwrap();
        rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits until it says this on standard error.
    pub(crate) async fn says(&mut self, text: &str) {
        let errors = self.child.stderr.as_mut().unwrap();
        in_time(async {
            let mut said = Vec::new();
            while !String::from_utf8_lossy(&said).contains(text) {
                said.push(errors.read_u8().await.expect("it says so before it ends"));
            }
        })
        .await;
    }

    /// Closes its standard input.
    pub(crate) fn end_input(&mut self) {
        drop(self.life.take());
    }

    /// Waits until it has ended: whether in good order, and its log.
    pub(crate) async fn ended(mut self) -> (bool, String) {
        let mut log = String::new();
        let mut errors = self.child.stderr.take().unwrap();
        in_time(errors.read_to_string(&mut log)).await.unwrap();
        (in_time(self.child.wait()).await.unwrap().success(), log)
    }
}

/// What a run of the binary came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// The one document on standard output.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The message of a failure, which is all there is.
    pub(crate) fn failure(&self) -> String {
        assert!(!self.success, "{self:?}");
        let document = self.document();
        let message = document["error"]["message"].as_str().expect("a failure has a message").to_owned();
        assert_eq!(document["ok"], false);
        assert_valid("failure", &document);
        message
    }

    /// The one line on standard error of a failure for people.
    pub(crate) fn error_line(&self) -> &str {
        assert!(!self.success && self.out.is_empty(), "{self:?}");
        let line = self.err.strip_prefix("error: ").unwrap_or_else(|| panic!("{self:?}"));
        let line = line.strip_suffix('\n').expect("a line ends");
        assert!(!line.contains('\n') && line.is_ascii() | !line.chars().any(char::is_control), "{self:?}");
        line
    }
}

/// Runs a command to its end.
pub(crate) async fn finished(command: &mut Command) -> Run {
    let Output { status, stdout, stderr } = in_time(command.output()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { success: status.success(), out: text(stdout), err: text(stderr) }
}

/// A wait that a broken program would make endless.
pub(crate) async fn in_time<T>(waited_for: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), waited_for).await.expect("it took over 120 s")
}

/// Asks again until it holds. Each question runs a process, which is pause enough.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asked = async { while !holds().await {} };
    let held = tokio::time::timeout(Duration::from_secs(120), asked).await;
    assert!(held.is_ok(), "it did not come true within 120 s that {what}");
}
