//! A folder named `proto/` holds a pure state machine: events and the time go in, actions come out.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::Repo;
use crate::tidy::source::Mention;

pub(super) const RULE: Rule = Rule { name: "pure-core", check };

/// Paths nothing in a pure core may lie in, and why.
const FORBIDDEN_PATHS: &[(&str, &str)] = &[
    ("tokio", "a pure core has no runtime: move what waits into the driver"),
    ("tokio_util", "a pure core has no runtime: move what waits into the driver"),
    ("rand", "take randomness as an argument, from a seed the simulator owns"),
    ("getrandom", "take randomness as an argument, from a seed the simulator owns"),
    ("fastrand", "take randomness as an argument, from a seed the simulator owns"),
    ("hashbrown", "iteration order must not depend on a hasher: use a BTreeMap or a sorted Vec"),
    ("std::time::SystemTime", "take the current time as an argument"),
    ("std::time::Instant::now", "take the current time as an argument"),
    ("std::thread", "a pure core runs on its caller's thread: move what waits into the driver"),
    ("std::fs", "a pure core asks its driver for storage by an action"),
    ("std::env", "take configuration as an argument"),
    ("std::net::TcpListener", "a pure core asks its driver for the network by an action"),
    ("std::net::TcpStream", "a pure core asks its driver for the network by an action"),
    ("std::net::UdpSocket", "a pure core asks its driver for the network by an action"),
];

/// Names that tell the same wherever they come from.
const FORBIDDEN_NAMES: &[(&str, &str)] = &[
    ("HashMap", "iteration order must not depend on a hasher: use a BTreeMap or a sorted Vec"),
    ("HashSet", "iteration order must not depend on a hasher: use a BTreeSet or a sorted Vec"),
    ("RandomState", "take randomness as an argument, from a seed the simulator owns"),
    ("thread_rng", "take randomness as an argument, from a seed the simulator owns"),
    ("OsRng", "take randomness as an argument, from a seed the simulator owns"),
    ("from_os_rng", "take randomness as an argument, from a seed the simulator owns"),
    ("from_entropy", "take randomness as an argument, from a seed the simulator owns"),
    ("spawn", "a pure core starts no task: return an action that asks for one"),
];

fn check(repo: &Repo, findings: &mut Findings) {
    for (file, source) in repo.rust().filter(|(file, _)| file.is_under("proto")) {
        for mention in &source.mentions {
            if let Some(why) = fault(mention) {
                findings.error(file, mention.line, format!("`{}` in a pure core: {why}", mention.path));
            }
        }
    }
}

fn fault(mention: &Mention) -> Option<&'static str> {
    if mention.behind_dot {
        // Methods that read a clock or start something; a field of such a name is nobody's business.
        return match (mention.path.as_str(), mention.is_call()) {
            ("elapsed", true) => Some("it reads the clock: subtract from the current time given"),
            ("spawn", true) => Some("a pure core starts no task: return an action that asks for one"),
            _ => None,
        };
    }
    let by_path =
        FORBIDDEN_PATHS.iter().find(|(path, _)| mention.path.contains("::") && mention.within(path));
    let by_name = || FORBIDDEN_NAMES.iter().find(|(name, _)| mention.name() == *name);
    by_path.or_else(by_name).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    #[test]
    fn a_pure_machine_passes() {
        let text = r#"
            //! Never calls tokio::spawn, never looks at a HashMap.
            use std::collections::BTreeMap;
            use std::time::{Duration, Instant};
            use rand_core_like::Rng;
            /// Handles one event at `now`; see `Instant::now` for what it must not do.
            pub(crate) fn handle(peers: &BTreeMap<u64, Instant>, now: Instant, rand: u64) -> Duration {
                let note = "HashMap";
                now.duration_since(peers[&rand]) + Duration::from_millis(note.len() as u64)
            }
        "#;
        assert!(caught(&RULE, &Repo::made_of(&[("crates/gossip/src/proto/machine.rs", text)])).is_empty());
    }

    #[test]
    fn the_world_outside_is_caught() {
        let lines = [
            "use tokio::time::Instant;",
            "use std::time as clock;",
            "use std::collections::HashMap;",
            "fn a() { clock::Instant::now(); }",
            "fn b() { since.elapsed(); }",
            "fn c() { std::thread::spawn(|| ()); }",
            "fn d() { join!(rand::rng()); }",
            "fn e() { tasks.spawn(x); }",
            "fn f() { getrandom::fill(&mut bytes); }",
        ];
        let text = lines.join("\n");
        let repo = Repo::made_of(&[("crates/gossip/src/proto/machine.rs", &text)]);
        let expected: Vec<_> = [1, 3, 4, 5, 6, 7, 8, 9]
            .iter()
            .map(|line| format!("crates/gossip/src/proto/machine.rs:{line}"))
            .collect();
        let mut found = caught(&RULE, &repo);
        found.dedup();
        assert_eq!(found, expected);
    }

    #[test]
    fn drivers_may_do_all_of_it() {
        let repo = Repo::made_of(&[("crates/gossip/src/driver.rs", "use tokio::time::Instant;")]);
        assert!(caught(&RULE, &repo).is_empty());
    }
}
