//! The contenders, and a run of one: two processes, one load.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::job::{Job, Outcome};
use crate::{drive, erlang, limit, nats, ours, pair, process, raw};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    Sealed,
    Insecure,
    Raw,
    SealedLimit,
    Mux,
    Erlang,
    Nats,
    Ractor,
    Kameo,
}

pub const ALL: [Contender; 9] = [
    Contender::Sealed,
    Contender::Insecure,
    Contender::Raw,
    Contender::SealedLimit,
    Contender::Mux,
    Contender::Erlang,
    Contender::Nats,
    Contender::Ractor,
    Contender::Kameo,
];

impl Contender {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sealed => "clusterluck",
            Self::Insecure => "clusterluck, Insecure",
            Self::Raw => "raw tokio TCP",
            Self::SealedLimit => "sealed limit",
            Self::Mux => "plain tokio mux",
            Self::Erlang => "Erlang/OTP",
            Self::Nats => "NATS",
            Self::Ractor => "ractor_cluster 0.16",
            Self::Kameo => "kameo 0.22 remote",
        }
    }

    pub fn named(name: &str) -> Self {
        let found = ALL.into_iter().find(|contender| contender.name() == name);
        found.unwrap_or_else(|| panic!("no contender is named {name}"))
    }

    /// What is missing on this machine to run it.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Erlang if !installed("erlc") => Some("Erlang (Debian: erlang-base)"),
            Self::Ractor if !self.program().exists() => Some(
                "its program (cargo build --release --manifest-path bench/ractor_cluster/Cargo.toml --target-dir bench/target)",
            ),
            Self::Kameo if !self.program().exists() => Some(
                "its program (cargo build --release --manifest-path bench/kameo/Cargo.toml --target-dir bench/target)",
            ),
            Self::Nats if !installed("nats-server") => Some("NATS (Debian: nats-server)"),
            _ => None,
        }
    }

    /// The program that plays it: this one, or one beside it.
    fn program(self) -> PathBuf {
        let this = std::env::current_exe().expect("this program has a path");
        match self {
            Self::Ractor => this.with_file_name("clusterluck-bench-ractor-cluster"),
            Self::Kameo => this.with_file_name("clusterluck-bench-kameo"),
            _ => this,
        }
    }

    /// Whether it is another project's: what fails there is a figure of the table, what fails here is a bug.
    fn is_peer(self) -> bool {
        matches!(self, Self::Erlang | Self::Nats | Self::Ractor | Self::Kameo)
    }

    pub fn takes(self, job: Job) -> bool {
        match self {
            Self::Raw => !matches!(job, Job::Calls { callers: 64, .. }),
            Self::SealedLimit => matches!(job, Job::Casts { .. }),
            // One queue makes a call wait for a gigabyte; the broker drops who is that far behind.
            Self::Mux | Self::Nats => !matches!(job, Job::Saturated { .. }),
            _ => true,
        }
    }

    /// How many times less it is given to do, so that a sample takes about a second.
    fn divisor(self, job: Job) -> u64 {
        match (self, job) {
            (Self::Erlang | Self::Ractor, _) => 5,
            // The broker drops a subscriber that is more than its limit behind.
            (Self::Nats, Job::Casts { bytes: 65_536.., .. }) => 8,
            _ => 1,
        }
    }
}

fn installed(program: &str) -> bool {
    let probe =
        Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

/// One run of a receiver and a sender, or why it gave no figures.
///
/// # Panics
///
/// When a program of this project fails.
pub fn measure(contender: Contender, name: &str, job: Job) -> Result<Outcome, String> {
    let outcome = run(contender, name, job);
    match outcome {
        Err(why) if !contender.is_peer() => panic!("{}, {name}: {why}", contender.name()),
        _ => outcome,
    }
}

fn run(contender: Contender, name: &str, job: Job) -> Result<Outcome, String> {
    if contender == Contender::Erlang {
        return erlang::measure(job.scaled(contender.divisor(job)));
    }
    let _server = (contender == Contender::Nats).then(nats::Server::start);
    let program = contender.program();
    pair::run(Command::new(&program).args(["receive", contender.name()]), |address| {
        let mut sender = Command::new(&program);
        sender.args(["send", contender.name(), name, address]);
        sender
    })
}

/// The sending process.
pub fn send(contender: Contender, job: Job, address: &str) {
    let (job, address) = (job.scaled(contender.divisor(job)), address.to_owned());
    match contender {
        Contender::Sealed | Contender::Insecure => {
            process::send(async move { drive::run(ours::connect(contender, &address).await, job).await });
        }
        Contender::Raw => process::send(async move { drive::run(raw::connect(&address).await, job).await }),
        Contender::SealedLimit => {
            process::send(async move { drive::run(limit::connect_sealed(&address).await, job).await });
        }
        Contender::Mux => {
            process::send(async move { drive::run(limit::connect_mux(&address).await, job).await })
        }
        Contender::Nats => process::send(async move { drive::run(nats::connect(&address).await, job).await }),
        Contender::Erlang | Contender::Ractor | Contender::Kameo => unreachable!("a program of its own"),
    }
}

/// The receiving process.
pub fn receive(contender: Contender) {
    match contender {
        Contender::Sealed | Contender::Insecure => process::receive(ours::serve(contender)),
        Contender::Raw => process::receive(raw::serve()),
        Contender::SealedLimit => process::receive(limit::serve_sealed()),
        Contender::Mux => process::receive(limit::serve_mux()),
        Contender::Nats => process::receive(nats::serve()),
        Contender::Erlang | Contender::Ractor | Contender::Kameo => unreachable!("a program of its own"),
    }
}
