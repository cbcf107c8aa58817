//! A lone message that its sender writes, beside the session's writer that comes to rest, wakes, hands over and ends:
//! `link/direct.rs` and the machine of sessions, compiled from their own sources with loom's locks, under the orders in which
//! threads can take steps. Nobody may sleep on a message: loom reports a thread that nobody will wake as a deadlock.
//!
//! What is around them is restated here, as it reaches into all of the crate: `Link::take` and `Link::activate` as far as
//! they concern who writes, the loop of `session/writer.rs`, an outlet over a connection that takes all at once or only
//! when waited for, and `Notify::notify_waiters`.
#![expect(dead_code, reason = "the models use a part of what they compile")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../src/proto/arbiter.rs"]
mod arbiter;
#[path = "../src/link/breaking.rs"]
mod breaking;
#[path = "../src/link/direct.rs"]
mod direct;
#[path = "../src/link/ending.rs"]
mod ending;
#[path = "../src/link/handle.rs"]
mod handle;
#[path = "../src/proto/hello.rs"]
mod hello;
#[path = "../src/proto/mark.rs"]
mod mark;
#[path = "common/model.rs"]
mod model;
#[path = "../src/link/part.rs"]
mod part;
#[path = "../src/link/sessions.rs"]
mod sessions;
#[path = "../src/proto/varint.rs"]
mod varint;

mod sync {
    pub(crate) use loom::sync::MutexGuard;
}

mod net {
    pub(crate) use netkernel::{DownReason, Peer};
}

mod node {
    pub(crate) use netkernel::{Incarnation, Node, Role};
}

mod proto {
    pub(crate) use super::{arbiter, hello, mark};
}

mod session {
    pub(crate) type SharedOutlet = std::sync::Arc<super::Lock<super::Outlet>>;
}

use std::sync::Arc;

use loom::sync::{Mutex, MutexGuard};
use loom::thread;
use netkernel::{Address, Incarnation, Node, NodeId, Peer, Role};
use tokio::time::Instant;

use crate::direct::Direct;
use crate::model::{Arrived, Lock, Work};
use crate::part::{Confirmation, Step, Waiting};
use crate::proto::arbiter::Confirmed;
use crate::proto::hello::SessionId;
use crate::session::SharedOutlet;
use crate::sessions::Sessions;

/// A link, as far as it is about who writes.
struct Link {
    state: Mutex<State>,
    work: Work,
    calls: Unused,
    counters: Unused,
}

/// What of a link is no part of the models.
struct Unused;

struct State {
    lanes: Lanes,
    idle: bool,
    direct: Direct,
    sessions: Sessions,
}

/// Small messages that wait.
#[derive(Default)]
struct Lanes(Vec<u32>);

impl Lanes {
    fn holds_one_small(&self) -> bool {
        self.0.len() == 1
    }

    fn is_ready(&self) -> bool {
        !self.0.is_empty()
    }

    fn take(&mut self, batch: &mut Vec<u32>, _session: SessionId, _calls: &Unused, _now: Instant) {
        batch.append(&mut self.0);
    }
}

/// What a session writes by: taken, appended, and written to its connection.
#[derive(Default)]
struct Outlet {
    batch: Vec<u32>,
    appended: Vec<u32>,
    written: Vec<u32>,
    arrived: Option<Arc<Arrived>>,
    /// The connection takes nothing at once: whoever writes has to wait for it.
    slow: bool,
}

impl Outlet {
    fn write_now(&mut self, _counters: &Unused, _now: Instant) -> bool {
        if self.slow {
            self.appended.append(&mut self.batch);
        } else {
            self.write();
        }
        self.appended.is_empty()
    }

    fn write(&mut self) {
        self.appended.append(&mut self.batch);
        if let Some(arrived) = &self.arrived {
            arrived.add(self.appended.len());
        }
        self.written.append(&mut self.appended);
    }
}

enum Take {
    Nothing,
    Frame,
    Batch,
    Unwritten,
    Last,
    Gone,
}

impl Link {
    fn new(sessions: &[SessionId]) -> Arc<Self> {
        let address = Address::new("b", 1).unwrap();
        let node = Node { id: NodeId::new("b").unwrap(), address, incarnation: Incarnation(1) };
        let peer = Arc::new(Peer { node, role: Role::Node });
        let mut state = State {
            lanes: Lanes::default(),
            idle: true,
            direct: Direct::default(),
            sessions: Sessions::default(),
        };
        for &session in sessions {
            state.sessions.register(session, &peer, 7).expect("a new id");
        }
        Arc::new(Self { state: Mutex::new(state), work: Work::default(), calls: Unused, counters: Unused })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn wake_writers(&self, mut state: MutexGuard<'_, State>) {
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.work.notify_waiters();
        }
    }

    fn tell_senders(&self, state: MutexGuard<'_, State>) {
        drop(state);
    }

    /// Of two sessions the later takes over from the earlier.
    fn activate(&self, session: SessionId) {
        let confirmed = Confirmed {
            session,
            incarnations: [Incarnation(1); 2],
            dialed_by_lower: true,
            connection: session.0,
        };
        let became = self.state().sessions.confirmed(confirmed);
        assert!(matches!(became, Confirmation::TakesOver { .. }));
        self.work.notify_waiters();
    }

    fn end_sessions(&self) {
        self.state().sessions.end_all(true);
        self.work.notify_waiters();
    }

    fn take(&self, session: SessionId, outlet: &mut Outlet, shared: &SharedOutlet) -> Take {
        let mut state = self.state();
        if state.direct.leave(session) {
            return Take::Unwritten;
        }
        let State { sessions, lanes, idle, direct } = &mut *state;
        let waiting = if lanes.is_ready() { Waiting::Ready } else { Waiting::Nothing };
        match sessions.step(session, waiting) {
            Step::Nothing => {
                *idle = true;
                if sessions.owner() == Some(session) {
                    direct.rest(session, shared);
                }
                Take::Nothing
            }
            Step::Messages => {
                lanes.take(&mut outlet.batch, session, &self.calls, Instant::now());
                Take::Batch
            }
            Step::Mark(_) => Take::Frame,
            Step::Goaway(_) => Take::Last,
            Step::Gone => Take::Gone,
        }
    }

    /// A session's writer, to its end.
    fn write(&self, session: SessionId, shared: &SharedOutlet) {
        loop {
            let mut outlet = shared.lock();
            let mut step = self.take(session, &mut outlet, shared);
            if matches!(step, Take::Nothing) {
                let enabled = self.work.enable();
                step = self.take(session, &mut outlet, shared);
                if matches!(step, Take::Nothing) {
                    drop(outlet);
                    self.work.notified(enabled);
                    continue;
                }
            }
            match step {
                Take::Batch | Take::Frame | Take::Unwritten => outlet.write(),
                Take::Last => {
                    outlet.write();
                    break;
                }
                Take::Nothing | Take::Gone => break,
            }
        }
        let _closed_unlocked = self.state().direct.end(session);
    }

    /// Queues a message, whose sender knows of no other.
    fn queue(&self, message: u32) {
        let mut state = self.state();
        state.lanes.0.push(message);
        self.send(state, true);
    }
}

/// At most two preemptions, which is where nearly all errors show (Musuvathi and Qadeer, "Iterative Context Bounding",
/// 2007), and which takes a second, not minutes.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

const OLD: SessionId = SessionId(1);
const NEW: SessionId = SessionId(2);

fn outlet(slow: bool, arrived: &Arc<Arrived>) -> SharedOutlet {
    let outlet = Arc::new(Lock::default());
    *outlet.lock() = Outlet { slow, arrived: Some(Arc::clone(arrived)), ..Outlet::default() };
    outlet
}

fn writer(link: &Arc<Link>, session: SessionId, outlet: &SharedOutlet) -> thread::JoinHandle<()> {
    let (link, outlet) = (Arc::clone(link), Arc::clone(outlet));
    thread::spawn(move || link.write(session, &outlet))
}

fn written(outlet: &SharedOutlet) -> Vec<u32> {
    let outlet = outlet.lock();
    assert!(outlet.batch.is_empty() && outlet.appended.is_empty(), "something was taken and not written");
    outlet.written.clone()
}

#[test]
fn a_lone_message_is_written_once_whoever_writes_it() {
    for slow in [false, true] {
        explore(move || {
            let (link, arrived) = (Link::new(&[OLD]), Arc::new(Arrived::default()));
            let outlet = outlet(slow, &arrived);
            link.activate(OLD);
            let writer = writer(&link, OLD, &outlet);
            let other = {
                let link = Arc::clone(&link);
                thread::spawn(move || link.queue(2))
            };
            link.queue(1);
            other.join().unwrap();
            arrived.wait_for(2);
            link.end_sessions();
            writer.join().unwrap();
            let mut written = written(&outlet);
            written.sort_unstable();
            assert_eq!(written, [1, 2]);
        });
    }
}

#[test]
fn lone_messages_of_one_sender_keep_their_order_as_the_writer_comes_and_goes() {
    for slow in [false, true] {
        explore(move || {
            let (link, arrived) = (Link::new(&[OLD]), Arc::new(Arrived::default()));
            let outlet = outlet(slow, &arrived);
            link.activate(OLD);
            let writer = writer(&link, OLD, &outlet);
            (1..=3).for_each(|message| link.queue(message));
            arrived.wait_for(3);
            link.end_sessions();
            writer.join().unwrap();
            assert_eq!(written(&outlet), [1, 2, 3]);
        });
    }
}

#[test]
fn a_reply_left_to_the_end_of_its_record_is_sent() {
    for slow in [false, true] {
        explore(move || {
            let (link, arrived) = (Link::new(&[OLD]), Arc::new(Arrived::default()));
            let outlet = outlet(slow, &arrived);
            link.activate(OLD);
            let writer = writer(&link, OLD, &outlet);
            // The reader begins a record that holds a call, whose reply comes from elsewhere.
            link.state().direct.record_begins();
            let replies = {
                let link = Arc::clone(&link);
                thread::spawn(move || link.queue(1))
            };
            link.record_ends();
            replies.join().unwrap();
            arrived.wait_for(1);
            link.end_sessions();
            writer.join().unwrap();
            assert_eq!(written(&outlet), [1]);
        });
    }
}

#[test]
fn a_session_that_takes_over_meanwhile_loses_no_lone_message_and_writes_none_twice() {
    for slow in [false, true] {
        explore(move || {
            let (link, arrived) = (Link::new(&[OLD, NEW]), Arc::new(Arrived::default()));
            let outlets = [outlet(slow, &arrived), outlet(false, &arrived)];
            link.activate(OLD);
            let old = writer(&link, OLD, &outlets[0]);
            let new = writer(&link, NEW, &outlets[1]);
            let sender = {
                let link = Arc::clone(&link);
                thread::spawn(move || (1..=2).for_each(|message| link.queue(message)))
            };
            link.activate(NEW);
            sender.join().unwrap();
            arrived.wait_for(2);
            link.end_sessions();
            old.join().unwrap();
            new.join().unwrap();
            let all = [written(&outlets[0]), written(&outlets[1])].concat();
            assert_eq!(all, [1, 2], "what the old session wrote comes before what the new one did");
        });
    }
}
