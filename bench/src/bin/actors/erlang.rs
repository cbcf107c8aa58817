//! Erlang's gen_server, in a process of its own that is asked for one figure at a time.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Erlang {
    process: Child,
    orders: ChildStdin,
    figures: BufReader<ChildStdout>,
}

impl Erlang {
    /// Compiles the Erlang half and starts it. `None` where Erlang is not installed.
    pub(crate) fn start() -> Option<Self> {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/bin/actors/actors.erl");
        let folder = env::temp_dir().join(format!("bench-actors-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for what Erlang compiles");
        let compiled = Command::new("erlc").arg("-o").arg(&folder).arg(source).status().ok()?;
        assert!(compiled.success(), "the Erlang half does not compile");
        let mut process = Command::new("erl")
            .args(["+S", "2:2", "-noshell", "-pa"])
            .arg(&folder)
            .args(["-run", "actors", "main"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let orders = process.stdin.take().expect("it is piped");
        let figures = BufReader::new(process.stdout.take().expect("it is piped"));
        Some(Self { process, orders, figures })
    }

    pub(crate) fn one_caller(&mut self) -> f64 {
        self.ask("one_caller")
    }

    pub(crate) fn many_callers(&mut self) -> f64 {
        self.ask("many_callers")
    }

    pub(crate) fn casts(&mut self) -> f64 {
        self.ask("casts")
    }

    pub(crate) fn lives(&mut self) -> f64 {
        self.ask("lives")
    }

    fn ask(&mut self, what: &str) -> f64 {
        writeln!(self.orders, "{what}").expect("Erlang runs");
        let mut figure = String::new();
        self.figures.read_line(&mut figure).expect("Erlang runs");
        figure.trim().parse().expect("a figure")
    }
}

impl Drop for Erlang {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
