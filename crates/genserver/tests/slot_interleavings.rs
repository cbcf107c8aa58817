//! The slot of a call, compiled from its own source with loom's locks in place of the standard library's, under the orders
//! in which the threads of its two ends can take steps.

#[path = "../src/lock.rs"]
mod lock;
#[path = "../src/slot.rs"]
mod slot;

mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

// What those sources need of the rest of the crate.

mod deadline {
    use tokio::time::Instant;

    pub(crate) trait Expire: Send + Sync {
        fn expire(&self, now: Instant) -> Option<Instant>;
    }
}

mod error {
    pub(crate) use genserver::{CallError, Stage};
}

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Waker;

use genserver::{CallError, Stage};
use loom::future::block_on;
use loom::thread;
use tokio::time::Instant;

use crate::deadline::Expire as _;
use crate::slot::Slot;

/// Runs a model under every order of its threads' steps with at most two preemptions, which is where nearly all
/// errors show (Musuvathi and Qadeer, "Iterative Context Bounding", 2007), and which takes a second, not minutes.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn a_call_ends_once_whoever_is_first() {
    explore(|| {
        let slot = Arc::new(loom_slot());
        let handler = answering(&slot);
        let deadline = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || assert!(slot.expire(now()).is_none()))
        };
        let ended = block_on(poll_fn(|context| slot.poll_answer(context)));
        match ended {
            Ok(7) | Err(CallError::Timeout { stage: Stage::Queued | Stage::Handling }) => {}
            other => panic!("{other:?}"),
        }
        handler.join().unwrap();
        deadline.join().unwrap();
        assert!(!slot.is_open() && !slot.begin());
    });
}

#[test]
fn a_handler_that_waits_for_its_caller_to_leave_is_woken() {
    explore(|| {
        let slot = Arc::new(loom_slot());
        assert!(slot.begin());
        let caller = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.abandon())
        };
        block_on(poll_fn(|context| slot.poll_over(context)));
        slot.answer(7);
        caller.join().unwrap();
    });
}

#[test]
fn a_call_abandoned_while_it_is_answered_is_over() {
    explore(|| {
        let slot = Arc::new(loom_slot());
        let handler = answering(&slot);
        slot.abandon();
        assert!(!slot.is_open());
        handler.join().unwrap();
    });
}

/// A handler that answers the call, if it comes to it.
fn answering(slot: &Arc<Slot<u32>>) -> thread::JoinHandle<()> {
    let slot = Arc::clone(slot);
    thread::spawn(move || {
        if slot.begin() {
            slot.answer(7);
        }
    })
}

fn loom_slot() -> Slot<u32> {
    Slot::new(Waker::noop().clone())
}

/// The time makes no difference here.
fn now() -> Instant {
    Instant::now()
}
