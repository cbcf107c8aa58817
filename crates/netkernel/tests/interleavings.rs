//! The machine of sessions with its arbiter, and the shutdown latch, compiled from their
//! own sources with loom's locks in place of the standard library's, under the orders in which threads can take steps.
#![expect(dead_code, reason = "each model uses a part of what it compiles")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../src/proto/arbiter.rs"]
mod arbiter;
#[path = "../src/link/breaking.rs"]
mod breaking;
#[path = "../src/link/ending.rs"]
mod ending;
#[path = "../src/link/handle.rs"]
mod handle;
#[path = "../src/proto/hello.rs"]
mod hello;
#[path = "../src/mesh/latch.rs"]
mod latch;
#[path = "../src/proto/mark.rs"]
mod mark;
#[path = "../src/link/part.rs"]
mod part;
#[path = "../src/link/sessions.rs"]
mod sessions;
#[path = "../src/proto/varint.rs"]
mod varint;

mod sync {
    pub(crate) use loom::sync::atomic::AtomicBool;
}

// What those sources need of the rest of the crate.

mod net {
    pub(crate) use netkernel::{DownReason, Peer};
}

mod node {
    pub(crate) use netkernel::{Incarnation, Node, Role};
}

mod proto {
    pub(crate) use super::{arbiter, hello, mark};
}

use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;
use netkernel::{Address, DownReason, Incarnation, Node, NodeId, Peer, Role};

use crate::latch::Latch;
use crate::part::{Confirmation, Ended, Step, Waiting};
use crate::proto::arbiter::Confirmed;
use crate::proto::hello::{Goaway, SessionId};
use crate::proto::mark::Predecessor;
use crate::sessions::Sessions;

/// Runs a model under every order of its threads' steps with at most three preemptions, which is where nearly all
/// errors show (Musuvathi and Qadeer, "Iterative Context Bounding", 2007), and which takes a second, not minutes.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

const OLD: SessionId = SessionId(1);
const NEW: SessionId = SessionId(2);

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A link reduced to what its sessions share: the machine, and messages that wait.
#[derive(Default)]
struct Link {
    sessions: Sessions,
    waiting: Vec<u32>,
}

/// What a session's writer has sent.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Mark(Vec<SessionId>),
    Message(u32),
    Goaway(Goaway),
}

fn peer() -> Arc<Peer> {
    let address = Address::new("b", 1).unwrap();
    Arc::new(Peer { node: Node { id: id("b"), address, incarnation: Incarnation(1) }, role: Role::Node })
}

/// Of two sessions the later outranks the earlier.
fn confirmed(session: SessionId) -> Confirmed {
    Confirmed { session, incarnations: [Incarnation(1); 2], dialed_by_lower: true, connection: session.0 }
}

fn registered(sessions: &[SessionId]) -> Arc<Mutex<Link>> {
    let mut link = Link { waiting: vec![1, 2], ..Link::default() };
    for &session in sessions {
        link.sessions.register(session, &peer(), 7).expect("a new id");
    }
    Arc::new(Mutex::new(link))
}

/// One step of a session's writer, which takes one message at a time. False when it has nothing to do.
fn write(link: &Mutex<Link>, session: SessionId, sent: &mut Vec<Sent>) -> bool {
    let mut link = link.lock().unwrap();
    let waiting = if link.waiting.is_empty() { Waiting::Nothing } else { Waiting::Ready };
    sent.push(match link.sessions.step(session, waiting) {
        Step::Nothing | Step::Gone => return false,
        Step::Mark(before) => Sent::Mark(before.iter().map(|before| before.session).collect()),
        Step::Messages => Sent::Message(link.waiting.remove(0)),
        Step::Goaway(goaway) => Sent::Goaway(goaway),
    });
    true
}

/// Confirms a session and writes by it while there is something to write.
fn run(link: &Mutex<Link>, session: SessionId) -> Vec<Sent> {
    let became = link.lock().unwrap().sessions.confirmed(confirmed(session));
    assert!(!matches!(became, Confirmation::Unknown), "it is registered");
    let mut sent = Vec::new();
    while write(link, session, &mut sent) {}
    sent
}

fn messages(sent: &[Sent]) -> Vec<u32> {
    sent.iter()
        .filter_map(|sent| if let Sent::Message(number) = sent { Some(*number) } else { None })
        .collect()
}

/// A direction begins with MARK where it carries anything, and nothing follows its GOAWAY.
fn assert_well_formed(sent: &[Sent]) {
    for (index, frame) in sent.iter().enumerate() {
        match frame {
            Sent::Mark(_) => assert_eq!(index, 0, "{sent:?}"),
            Sent::Message(_) => assert!(matches!(sent[0], Sent::Mark(_)), "{sent:?}"),
            Sent::Goaway(_) => assert_eq!(index + 1, sent.len(), "{sent:?}"),
        }
    }
}

#[test]
fn a_session_that_broke_is_named_as_broken_to_the_peer() {
    explore(|| {
        let link = registered(&[OLD, NEW]);
        let old = run(&link, OLD);
        assert_eq!(messages(&old), [1, 2]);
        // While another takes over.
        let breaks = {
            let link = Arc::clone(&link);
            thread::spawn(move || {
                let mut link = link.lock().unwrap();
                let over = link.sessions.remove(OLD).expect("it was made");
                assert!(link.sessions.broke(OLD, over), "it had sent");
                assert!(!link.sessions.awaits_a_predecessor());
                link.sessions.left(over, Some(DownReason::LinkLost));
                link.sessions.withdraw().is_some()
            })
        };
        let mark = {
            let mut link = link.lock().unwrap();
            link.sessions.confirmed(confirmed(NEW));
            link.sessions.step(NEW, Waiting::Nothing)
        };
        let first = breaks.join().unwrap();
        let link = link.lock().unwrap();
        assert_eq!(link.sessions.lost(), [OLD], "in the next handshake");
        let before = vec![Predecessor { session: OLD, lost: first }];
        assert_eq!(mark, Step::Mark(before), "and in the next MARK, if that is put after it");
        assert_eq!(link.sessions.owner(), Some(NEW));
    });
}

/// The session that sends breaks while another is confirmed: either that has taken over before, and nothing is told, or the
/// link is told as down; in between the other is given up, and after that it is the first of a new link.
#[test]
fn a_link_whose_session_breaks_while_another_is_confirmed_is_down_before_it_is_up() {
    explore(|| {
        let link = registered(&[OLD, NEW]);
        run(&link, OLD);
        let breaks = {
            let link = Arc::clone(&link);
            thread::spawn(move || {
                let ended = {
                    let mut link = link.lock().unwrap();
                    let over = link.sessions.remove(OLD).expect("it was made");
                    link.sessions.broke(OLD, over);
                    link.sessions.left(over, Some(DownReason::Silent))
                };
                let withdrawn = link.lock().unwrap().sessions.withdraw();
                assert!(withdrawn.is_none() || ended == Ended::Last);
                withdrawn.map(|(_, reason)| reason)
            })
        };
        let became = link.lock().unwrap().sessions.confirmed(confirmed(NEW));
        let down = breaks.join().unwrap();
        let link = link.lock().unwrap();
        let is_new = match became {
            Confirmation::TakesOver { is_new, .. } => is_new,
            Confirmation::Unknown => {
                assert_eq!((down, link.sessions.is_announced()), (Some(Some(DownReason::Silent)), false));
                return;
            }
            Confirmation::Loses => panic!("there is no other"),
        };
        assert_eq!(down, is_new.then_some(Some(DownReason::Silent)));
        assert!(link.sessions.is_announced() && !link.sessions.is_ending());
    });
}

/// A session of an instance that says to be of this run.
fn of(session: SessionId, incarnation: u64) -> Confirmed {
    Confirmed { incarnations: [Incarnation(incarnation), Incarnation(1)], ..confirmed(session) }
}

/// Two kernels of one id finish their handshakes while neither has a session: whichever is first stays, whatever run each
/// says to be, and the layers above are told of it alone.
#[test]
fn of_two_instances_confirmed_at_once_the_first_stays() {
    explore(|| {
        let mut link = Link::default();
        for (session, instance) in [(OLD, 7), (NEW, 8)] {
            link.sessions.register(session, &peer(), instance).expect("a new id");
        }
        let link = Arc::new(Mutex::new(link));
        let confirm = |session, incarnation| {
            let link = Arc::clone(&link);
            move || link.lock().unwrap().sessions.confirmed(of(session, incarnation))
        };
        let other = thread::spawn(confirm(NEW, 9));
        let became = [confirm(OLD, 1)(), other.join().unwrap()];
        let link = link.lock().unwrap();
        let new = |became: &Confirmation| matches!(became, Confirmation::TakesOver { is_new: true, .. });
        assert_eq!(became.iter().filter(|became| new(became)).count(), 1);
        let first = if new(&became[0]) { (OLD, 7) } else { (NEW, 8) };
        let announced = link.sessions.announced().map(|(_, instance)| instance);
        assert_eq!((link.sessions.owner(), announced), (Some(first.0), Some(first.1)));
    });
}

/// Of one kernel that becomes a later run of itself, the session made under the earlier is not told of, whenever it is
/// confirmed.
#[test]
fn a_session_that_loses_is_not_the_one_that_is_told_of() {
    let later = Arc::new(Peer {
        node: Node { incarnation: Incarnation(2), ..peer().node.clone() },
        role: Role::Node,
    });
    let mut sessions = Sessions::default();
    sessions.register(OLD, &peer(), 7).expect("a new id");
    sessions.register(NEW, &later, 7).expect("a new id");
    assert!(sessions.register(NEW, &later, 7).is_none(), "an id is taken once");
    assert!(matches!(sessions.confirmed(of(NEW, 2)), Confirmation::TakesOver { is_new: true, .. }));
    assert!(matches!(sessions.confirmed(of(OLD, 1)), Confirmation::Unknown));
    for session in [OLD, NEW] {
        sessions.remove(session);
    }
    assert_eq!(sessions.withdraw(), Some((later, None)));
}

#[test]
fn of_two_sessions_confirmed_at_once_the_higher_stays_and_every_message_goes_once_in_order() {
    explore(|| {
        let link = registered(&[OLD, NEW]);
        let other = {
            let link = Arc::clone(&link);
            thread::spawn(move || run(&link, NEW))
        };
        let mut old = run(&link, OLD);
        let mut new = other.join().unwrap();
        link.lock().unwrap().waiting.push(3);
        // What each still had to do when it last looked.
        while write(&link, OLD, &mut old) || write(&link, NEW, &mut new) {}
        assert_well_formed(&old);
        assert_well_formed(&new);
        assert_eq!(link.lock().unwrap().sessions.owner(), Some(NEW));
        assert_eq!(old.last(), Some(&Sent::Goaway(Goaway::Superseded)));
        // The receiver reads the old session's messages first where the new one's MARK names it.
        let in_order = [messages(&old), messages(&new)].concat();
        assert_eq!(in_order, [1, 2, 3], "{old:?} and {new:?}");
        if !messages(&old).is_empty() {
            assert_eq!(new[0], Sent::Mark(vec![OLD]));
        }
    });
}

#[test]
fn a_session_that_the_peer_ends_while_another_takes_over_passes_everything_on() {
    explore(|| {
        let link = registered(&[OLD, NEW]);
        let mut old = run(&link, OLD);
        link.lock().unwrap().waiting.extend([3, 4]);
        let ends = {
            let link = Arc::clone(&link);
            thread::spawn(move || {
                link.lock().unwrap().sessions.peer_ends(OLD, Goaway::Superseded);
                let mut sent = Vec::new();
                while write(&link, OLD, &mut sent) {}
                let mut link = link.lock().unwrap();
                link.sessions.remove(OLD);
                link.sessions.closed(OLD, true);
                sent
            })
        };
        let mut new = run(&link, NEW);
        old.extend(ends.join().unwrap());
        while write(&link, NEW, &mut new) {}
        assert_well_formed(&old);
        assert_well_formed(&new);
        assert_eq!([messages(&old), messages(&new)].concat(), [1, 2, 3, 4], "{old:?} and {new:?}");
        assert_eq!(link.lock().unwrap().sessions.owner(), Some(NEW));
    });
}

#[test]
fn no_session_goes_on_when_one_takes_over_while_the_kernel_shuts_down() {
    explore(|| {
        let (link, latch) = (registered(&[]), Arc::new(Latch::new()));
        let shutdown = {
            let (link, latch) = (Arc::clone(&link), Arc::clone(&latch));
            thread::spawn(move || latch.shut(|| link.lock().unwrap().sessions.end_all(true)))
        };
        // It was registered after the kernel ended what it found.
        let takes_over = || {
            let mut link = link.lock().unwrap();
            link.sessions.register(OLD, &peer(), 7).expect("a new id");
            link.sessions.confirmed(confirmed(OLD));
        };
        latch.enter(takes_over, || link.lock().unwrap().sessions.end_all(true));
        shutdown.join().unwrap();
        assert!(latch.is_shut());
        let mut sent = Vec::new();
        while write(&link, OLD, &mut sent) {}
        assert_well_formed(&sent);
        assert_eq!(sent.last(), Some(&Sent::Goaway(Goaway::Closing)), "{sent:?}");
        assert_eq!(messages(&sent), [1, 2], "what waited is sent first");
    });
}
