//! No unbounded queue, no detached task.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::{File, Repo};
use crate::tidy::source::{Mention, Source};

pub(super) const RULE: Rule = Rule { name: "bounds", check };

const UNBOUNDED: &[&str] =
    &["unbounded", "unbounded_channel", "UnboundedSender", "UnboundedReceiver", "SegQueue"];

/// `std`'s channel has no bound; its `sync_channel` has one.
const STD_CHANNEL: &str = "std::sync::mpsc::channel";

const DETACHED: &[&str] =
    &["tokio::spawn", "tokio::task::spawn", "tokio::task::spawn_local", "tokio::task::Builder"];

/// A module of this name is where a handle's tracker may be built from the runtime's own spawn.
const TRACKER: &str = "tracker.rs";

fn check(repo: &Repo, findings: &mut Findings) {
    for (file, source) in repo.rust() {
        for mention in &source.mentions {
            // A peer is measured with the queues its users have.
            if !file.is_under("bench") {
                queue(file, mention, findings);
            }
            if file.name() != TRACKER {
                task(file, source, mention, findings);
            }
        }
    }
}

fn queue(file: &File, mention: &Mention, findings: &mut Findings) {
    let unbounded = UNBOUNDED.contains(&mention.name()) && !mention.behind_dot && mention.path.contains("::");
    if unbounded || mention.path == STD_CHANNEL {
        findings.error(
            file,
            mention.line,
            format!(
                "`{}` has no bound: use a bounded queue and document what happens when it is full",
                mention.path
            ),
        );
    }
}

fn task(file: &File, source: &Source, mention: &Mention, findings: &mut Findings) {
    let direct = DETACHED.iter().any(|path| mention.within(path)) && !mention.behind_dot;
    if direct || is_handle_spawn(source, mention) {
        findings.error(
            file,
            mention.line,
            format!(
                "`{}` leaves a task nobody awaits: spawn on the owner's TaskTracker or JoinSet",
                mention.path
            ),
        );
    }
}

/// `Handle::current().spawn(…)`, the long way round.
fn is_handle_spawn(source: &Source, mention: &Mention) -> bool {
    let rest = source.tokens.iter().skip(mention.end).take(4).map(|token| token.text.as_str());
    mention.within("tokio::runtime::Handle::current") && rest.eq(["(", ")", ".", "spawn"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    fn lines(text: &str) -> Vec<String> {
        caught(&RULE, &Repo::made_of(&[("a.rs", text)]))
    }

    #[test]
    fn bounded_queues_and_tracked_tasks_pass() {
        let text = "use tokio::sync::mpsc;\nuse std::ops::Bound::Unbounded;\nfn f() {\n    mpsc::channel(8);\n    \
                    std::sync::mpsc::sync_channel(8);\n    tracker.spawn(work());\n    set.spawn(work());\n    \
                    let unbounded = \"unbounded_channel\"; // tokio::spawn\n}\nfn spawn() {}\n";
        assert!(lines(text).is_empty());
    }

    #[test]
    fn unbounded_queues_are_caught_by_any_name() {
        assert_eq!(lines("fn f() { tokio::sync::mpsc::unbounded_channel(); }"), ["a.rs:1"]);
        assert_eq!(
            lines("use tokio::sync::mpsc::unbounded_channel as q;\nfn f() { q(); }"),
            ["a.rs:1", "a.rs:2"]
        );
        assert_eq!(lines("use std::sync::mpsc;\nfn f() { mpsc::channel(); }"), ["a.rs:2"]);
        assert_eq!(lines("struct S { q: flume::unbounded }"), ["a.rs:1"]);
    }

    #[test]
    fn a_measured_peer_may_have_its_own_queues() {
        let text = "fn f() { peer::mailbox::unbounded(); }";
        assert_eq!(caught(&RULE, &Repo::made_of(&[("src/a.rs", text)])), ["src/a.rs:1"]);
        assert!(caught(&RULE, &Repo::made_of(&[("bench/src/a.rs", text)])).is_empty());
    }

    #[test]
    fn detached_tasks_are_caught_by_any_name() {
        assert_eq!(lines("fn f() { tokio::spawn(x); }"), ["a.rs:1"]);
        assert_eq!(lines("use tokio::task;\nfn f() { task::spawn(x); }"), ["a.rs:2"]);
        assert_eq!(lines("use tokio::runtime::Handle;\nfn f() { Handle::current().spawn(x); }"), ["a.rs:2"]);
        assert_eq!(lines("fn f() { select! { _ = a => tokio::spawn(b), } }"), ["a.rs:1"]);
    }

    #[test]
    fn a_tracker_module_may_spawn() {
        assert!(
            caught(&RULE, &Repo::made_of(&[("src/tracker.rs", "fn f() { tokio::spawn(x); }")])).is_empty()
        );
    }
}
