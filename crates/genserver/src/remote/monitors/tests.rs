use std::fmt::Write as _;

use netkernel::{Address, Cookie, Kernel, MemoryNetwork, Noise};

use super::*;
use crate::address::Addr;
use crate::config::Config;
use crate::context::Cx;
use crate::exit::Stop;
use crate::message::Outcome;
use crate::server::{GenServer, HandleCast};

/// A line for each message of this layer's own, in every form it takes: its tag, version and bytes.
fn lines() -> String {
    let node = NodeId::new("b").unwrap();
    let name = ServerName::new("lab").unwrap();
    let pid = Pid::new(node, Incarnation(300), 7, Some(name.clone()));
    let number = ServerKey::Number { incarnation: Incarnation(300), number: 7 };
    let mut lines = String::new();
    let mut line = |tag: &str, version: u16, what: &str, bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(lines, "{tag} {version} {what} {hex}").unwrap();
    };
    for (what, server) in [("name", ServerKey::Name(name)), ("number", number)] {
        let bytes = encoded(&Monitor { monitor: 5, server });
        line(Monitor::TAG, Monitor::VERSION, what, &bytes);
    }
    for (what, found) in [("found", Some(pid.clone())), ("missing", None)] {
        let bytes = body::encode_reply::<Option<Pid>>(&found).unwrap();
        line(Monitor::TAG, Monitor::VERSION, what, &bytes);
    }
    line(Demonitor::TAG, Demonitor::VERSION, "-", &encoded(&Demonitor { monitor: 5 }));
    for (what, exit) in [
        ("normal", Exit::Normal),
        ("shutdown", Exit::Shutdown),
        ("killed", Exit::Killed),
        ("failed", Exit::Failed { reason: "x".into() }),
        ("panicked", Exit::Panicked { message: "x".into() }),
    ] {
        let bytes = encoded(&Ended { monitor: 5, pid: pid.clone(), exit });
        line(Ended::TAG, Ended::VERSION, what, &bytes);
    }
    lines
}

#[test]
fn messages_of_this_layer_are_as_the_lock_file_has_them() {
    // A difference is a new version of the message, unless it only adds lines.
    assert_eq!(lines(), include_str!("../../../wire.lock"), "the file would be:\n{}", lines());
}

struct Idle;

impl GenServer for Idle {}

/// Monitors whatever it is told to.
struct Guard;

impl GenServer for Guard {}

struct Watching(Addr<Idle>);

impl HandleCast<Watching> for Guard {
    async fn cast(&mut self, Watching(idle): Watching, cx: &mut Cx<Self>) -> Outcome {
        cx.monitor(&idle);
        let gone = cx.monitor(&idle);
        cx.demonitor(gone);
        Outcome::Continue
    }
}

/// A node in memory, and its system.
async fn node(network: &MemoryNetwork, name: &str) -> (Kernel, System) {
    let cookie: Cookie = "0".repeat(64).parse().unwrap();
    let config = netkernel::Config::builder(NodeId::new(name).unwrap(), Noise::new(&cookie));
    let config = config.listen(Address::new(name, 0).unwrap()).transport(network.host(name));
    let kernel = Kernel::bind(config.build().unwrap()).await.unwrap();
    let system = System::new(Arc::new(kernel.clone()), Config::default());
    kernel.serve(system.dispatch());
    (kernel, system)
}

/// How many monitors the systems know of: those made on the first, and those made there on the second.
fn known(watching: &System, watched: &System) -> (usize, usize) {
    (watching.monitors().ours.locked().len(), watched.monitors().theirs.locked().len())
}

#[tokio::test(start_paused = true)]
async fn monitors_of_every_ending_leave_nothing() {
    let network = MemoryNetwork::new();
    let ((a, here), (b, there)) = (node(&network, "a").await, node(&network, "b").await);
    let settle = || tokio::time::sleep(Duration::from_millis(50));
    a.connect(&b.local().id, &b.local().address);
    for end in ["watched", "watching", "link"] {
        let idle = there.spawn("idle", Idle).await.unwrap();
        let guard = here.spawn("guard", Guard).await.unwrap();
        settle().await;
        for _ in 0..500 {
            guard.cast(Watching(here.addr(there.node(), "idle"))).await.unwrap();
        }
        guard.idle().await;
        settle().await;
        assert_eq!(known(&here, &there), (500, 500), "{end}");
        match end {
            "watched" => drop(idle.stop(Stop::Now).await),
            "watching" => drop(guard.stop(Stop::Now).await),
            _ => a.disconnect(&b.local().id, false),
        }
        settle().await;
        assert_eq!(known(&here, &there), (0, 0), "{end}");
        idle.stop(Stop::Now).await;
        guard.stop(Stop::Now).await;
    }
}

#[tokio::test]
async fn a_peer_has_one_monitor_by_each_number_and_no_more_than_there_may_be() {
    let system = System::local();
    let idle: Arc<dyn AnyProcess> = system.spawn("idle", Idle).await.unwrap().process();
    let peer = NodeId::new("b").unwrap();
    let monitors = Monitors { theirs_max: 2, ..Monitors::default() };
    let watch = |monitor| {
        let server = ServerKey::Name(ServerName::new("idle").unwrap());
        monitors.watch(system.number(), &peer, &Monitor { monitor, server }, &idle)
    };
    let alone = Arc::weak_count(&idle);
    for _ in 0..10 {
        assert_eq!(watch(1).unwrap().as_ref(), Some(idle.pid()));
    }
    assert_eq!((monitors.theirs.locked().len(), Arc::weak_count(&idle)), (1, alone + 1));
    assert!(watch(2).unwrap().is_some());
    assert!(matches!(watch(3), Err(Refusal::Overloaded)), "there are two already");
}
