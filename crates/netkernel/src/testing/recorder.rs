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

/// What arrives at a node under test: calls to `echo` are echoed, those to `never` are not answered, casts and calls to
/// `sink` are kept, as many as there is room for; there is no other server.
#[derive(Debug)]
pub struct Recorder {
    sink: Mutex<Sink>,
    arrived: Notify,
    kept: Mutex<Vec<Responder>>,
}

/// What has arrived at a [`Recorder`]'s `sink`.
#[derive(Debug)]
pub enum Arrived {
    /// A cast: from whom, and its body.
    Cast(NodeId, Bytes),
    /// A call: from whom, its body, and what answers it.
    Call(NodeId, Bytes, Responder),
}

#[derive(Debug, Default)]
struct Sink {
    waiting: VecDeque<Arrived>,
    calls: usize,
    awaited: Vec<Waker>,
    ended: bool,
    room: usize,
}

impl Sink {
    fn casts(&self) -> usize {
        self.waiting.len() - self.calls
    }

    fn take(&mut self, at: usize) -> Option<Arrived> {
        let taken = self.waiting.remove(at)?;
        self.calls -= usize::from(matches!(taken, Arrived::Call(..)));
        Some(taken)
    }

    fn take_cast(&mut self) -> Option<(NodeId, Bytes)> {
        let first = self.waiting.iter().position(|arrived| matches!(arrived, Arrived::Cast(..)))?;
        match self.take(first) {
            Some(Arrived::Cast(from, body)) => Some((from, body)),
            _ => None,
        }
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::with_room(usize::MAX)
    }
}

impl Recorder {
    /// Keeps so many casts and calls at a time; further casts wait until some are taken, and further calls are refused.
    #[must_use]
    pub fn with_room(messages: usize) -> Self {
        let sink = Sink { room: messages, ..Sink::default() };
        Self { sink: Mutex::new(sink), arrived: Notify::new(), kept: Mutex::default() }
    }

    /// Keeps so many casts and calls at a time from now on; what is over that stays until it is taken.
    pub fn set_room(&self, messages: usize) {
        let mut sink = self.sink();
        sink.room = messages;
        let awaited = std::mem::take(&mut sink.awaited);
        drop(sink);
        awaited.into_iter().for_each(Waker::wake);
    }

    /// Takes the first `count` casts, waiting for them. Calls that came before them stay.
    pub async fn casts(&self, count: usize) -> Vec<(NodeId, Bytes)> {
        self.take(|sink| {
            (sink.casts() >= count).then(|| std::iter::from_fn(|| sink.take_cast()).take(count).collect())
        })
        .await
    }

    /// Takes what came first, waiting for it.
    pub async fn next(&self) -> Arrived {
        self.take(|sink| sink.take(0)).await
    }

    /// Ends `sink`, as if it had never been: calls that it keeps are not answered, casts are lost.
    pub fn end(&self) {
        let mut sink = self.sink();
        sink.ended = true;
        sink.calls = 0;
        let (lost, awaited) = (std::mem::take(&mut sink.waiting), std::mem::take(&mut sink.awaited));
        drop(sink);
        drop(lost);
        awaited.into_iter().for_each(Waker::wake);
    }

    async fn take<T>(&self, mut take: impl FnMut(&mut Sink) -> Option<T>) -> T {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut sink = self.sink();
                if let Some(taken) = take(&mut sink) {
                    let awaited = std::mem::take(&mut sink.awaited);
                    drop(sink);
                    awaited.into_iter().for_each(Waker::wake);
                    return taken;
                }
            }
            arrived.await;
        }
    }

    /// The sink, if it can take one more message.
    fn room(&self) -> Result<MutexGuard<'_, Sink>, Refusal> {
        let sink = self.sink();
        if sink.ended {
            return Err(Refusal::NoProc);
        }
        if sink.waiting.len() >= sink.room { Err(Refusal::Overloaded) } else { Ok(sink) }
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
        self.room()?.waiting.push_back(Arrived::Cast(from.node.id.clone(), body));
        self.arrived.notify_one();
        Ok(())
    }

    fn wake_with_room(&self, server: &ServerName, _next: &Bytes, waker: &Waker) {
        let mut sink = self.sink();
        if server.as_str() != "sink" || sink.ended || sink.waiting.len() < sink.room {
            drop(sink);
            waker.wake_by_ref();
        } else if !sink.awaited.iter().any(|awaited| awaited.will_wake(waker)) {
            sink.awaited.push(waker.clone());
        }
    }

    fn call(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes, responder: Responder) {
        match server.as_str() {
            "echo" => responder.reply(body),
            "never" => self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(responder),
            "sink" => match self.room() {
                Ok(mut sink) => {
                    sink.calls += 1;
                    sink.waiting.push_back(Arrived::Call(from.node.id.clone(), body, responder));
                    drop(sink);
                    self.arrived.notify_one();
                }
                Err(refusal) => responder.refuse(refusal),
            },
            _ => responder.refuse(Refusal::NoProc),
        }
    }
}
