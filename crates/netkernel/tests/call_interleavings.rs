//! The table of pending calls, compiled from its own source with loom's locks in place of the standard library's, under the
//! orders in which threads can take steps.
#![expect(dead_code, reason = "the models use a part of what they compile")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../src/link/calls.rs"]
mod calls;
#[path = "../src/proto/hello.rs"]
mod hello;

mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

// What those sources need of the rest of the crate.

mod call {
    use bytes::Bytes;
    use netkernel::CallError;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub(crate) struct CallId(pub(crate) u64);

    /// Keeps every outcome it is given: more than one is an error.
    #[derive(Clone, Default)]
    pub(crate) struct ReplySlot(pub(crate) std::sync::Arc<std::sync::Mutex<Vec<Result<Bytes, CallError>>>>);

    impl ReplySlot {
        pub(crate) fn send(self, outcome: Result<Bytes, CallError>) -> Result<(), ()> {
            self.0.lock().map_err(|_| ())?.push(outcome);
            Ok(())
        }
    }
}

mod error {
    pub(crate) use netkernel::{CallError, Stage};
}

mod node {
    pub(crate) use netkernel::{Incarnation, Node, Role};
}

mod proto {
    pub(crate) use super::hello;
}

use std::sync::Arc;

use bytes::Bytes;
use loom::thread;
use netkernel::{CallError, NodeId, Stage};

use crate::call::{CallId, ReplySlot};
use crate::calls::PendingCalls;
use crate::hello::SessionId;

/// Runs a model under every order of its threads' steps with at most three preemptions, which is where nearly all
/// errors show (Musuvathi and Qadeer, "Iterative Context Bounding", 2007), and which takes a second, not minutes.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

const CALL: CallId = CallId(1);
const OLD: SessionId = SessionId(1);
const NEW: SessionId = SessionId(2);

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

/// A table with one call, and where its outcome goes.
fn one_call() -> (Arc<PendingCalls>, ReplySlot) {
    let (calls, slot) = (Arc::new(PendingCalls::new(8)), ReplySlot::default());
    assert!(calls.insert(CALL, slot.clone()).is_ok());
    (calls, slot)
}

fn outcomes(slot: &ReplySlot) -> Vec<Result<Bytes, CallError>> {
    slot.0.lock().unwrap().clone()
}

#[test]
fn a_call_ends_once_whether_its_reply_its_caller_or_its_link_is_first() {
    explore(|| {
        let (calls, slot) = one_call();
        assert!(calls.written(CALL, OLD));
        let reply = {
            let calls = Arc::clone(&calls);
            thread::spawn(move || calls.complete(CALL, Ok(Bytes::from("reply"))))
        };
        let link = {
            let calls = Arc::clone(&calls);
            thread::spawn(move || calls.fail(|session| session == OLD))
        };
        let left = calls.remove(CALL);
        reply.join().unwrap();
        link.join().unwrap();
        let outcomes = outcomes(&slot);
        match left {
            Some(stage) => assert_eq!((stage, outcomes.len()), (Stage::Sent, 0)),
            None => assert!(
                matches!(outcomes[..], [Ok(_) | Err(CallError::LinkDown)]),
                "ended {} times",
                outcomes.len()
            ),
        }
        assert!(calls.is_empty());
    });
}

#[test]
fn a_caller_that_leaves_while_its_request_is_written_knows_whether_it_was() {
    explore(|| {
        let (calls, _slot) = one_call();
        let writer = {
            let calls = Arc::clone(&calls);
            thread::spawn(move || calls.written(CALL, OLD))
        };
        let stage = calls.remove(CALL).unwrap();
        let written = writer.join().unwrap();
        assert_eq!(written, stage == Stage::Sent, "a request that was written is said to be still queued");
    });
}

#[test]
fn a_call_passes_to_the_heir_or_fails_with_the_session_that_broke_and_none_is_forgotten() {
    explore(|| {
        let (calls, slot) = one_call();
        assert!(calls.written(CALL, OLD));
        // The old session ends in good order while the new one breaks.
        let inherits = {
            let calls = Arc::clone(&calls);
            thread::spawn(move || calls.adopt(|session| session == OLD, NEW))
        };
        let breaks = {
            let calls = Arc::clone(&calls);
            thread::spawn(move || calls.fail(|by| by == NEW))
        };
        inherits.join().unwrap();
        breaks.join().unwrap();
        // What the break did not find yet, the end of the link finds.
        calls.fail(|_| true);
        assert_eq!(outcomes(&slot), [Err(CallError::LinkDown)]);
        assert!(calls.is_empty());
    });
}

#[test]
fn a_full_table_takes_no_more_than_its_places() {
    explore(|| {
        let calls = Arc::new(PendingCalls::new(1));
        let insert = |number| {
            let calls = Arc::clone(&calls);
            thread::spawn(move || calls.insert(CallId(number), ReplySlot::default()).is_ok())
        };
        let (one, other) = (insert(1), insert(2));
        let admitted = u8::from(one.join().unwrap()) + u8::from(other.join().unwrap());
        assert_eq!((admitted, calls.len()), (1, 1));
    });
}
