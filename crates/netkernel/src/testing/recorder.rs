//! A dispatch that keeps what arrives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::call::Responder;
use crate::error::Refusal;
use crate::net::{Dispatch, Peer};
use crate::node::{NodeId, ServerName};

/// What arrives at a node under test: calls to `echo` are echoed, those to `never` are not answered, casts to `sink`
/// are kept, as many as there is room for; there is no other server.
#[derive(Debug)]
pub struct Recorder {
    sink: Mutex<Sink>,
    room: usize,
    arrived: Notify,
    kept: Mutex<Vec<Responder>>,
}

#[derive(Debug, Default)]
struct Sink {
    casts: VecDeque<(NodeId, Bytes)>,
    awaited: Vec<Waker>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::with_room(usize::MAX)
    }
}

impl Recorder {
    /// Keeps so many casts at a time; further ones wait until some are taken.
    #[must_use]
    pub fn with_room(casts: usize) -> Self {
        Self { sink: Mutex::default(), room: casts, arrived: Notify::new(), kept: Mutex::default() }
    }

    /// Takes the first `count` casts, waiting for them.
    pub async fn casts(&self, count: usize) -> Vec<(NodeId, Bytes)> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut sink = self.sink();
                if sink.casts.len() >= count {
                    let taken = sink.casts.drain(..count).collect();
                    let awaited = std::mem::take(&mut sink.awaited);
                    drop(sink);
                    awaited.into_iter().for_each(Waker::wake);
                    return taken;
                }
            }
            arrived.await;
        }
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dispatch for Recorder {
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        if server.as_str() != "sink" {
            return Err(Refusal::NoProc);
        }
        let mut sink = self.sink();
        if sink.casts.len() >= self.room {
            return Err(Refusal::Overloaded);
        }
        sink.casts.push_back((from.node.id.clone(), body));
        drop(sink);
        self.arrived.notify_one();
        Ok(())
    }

    fn wake_with_room(&self, server: &ServerName, _next: &Bytes, waker: &Waker) {
        let mut sink = self.sink();
        if server.as_str() != "sink" || sink.casts.len() < self.room {
            drop(sink);
            waker.wake_by_ref();
        } else if !sink.awaited.iter().any(|awaited| awaited.will_wake(waker)) {
            sink.awaited.push(waker.clone());
        }
    }

    fn call(&self, _from: &Arc<Peer>, server: &ServerName, body: Bytes, responder: Responder) {
        match server.as_str() {
            "echo" => responder.reply(body),
            "never" => self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(responder),
            _ => responder.refuse(Refusal::NoProc),
        }
    }
}
