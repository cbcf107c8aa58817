//! The suite of `Dispatch`: the recorder conforms, and whatever does one thing wrong is found.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use common::{node, server};
use netkernel::testing::{self, Arrived, Asked, Recorder, Served, Taken};
use netkernel::{Accepted, BoxFuture, Dispatch, MemoryNetwork, Net, Peer, Refusal, Responder, ServerName};
use tokio::task::JoinSet;

/// What is wrong with a dispatch and its server.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    // With casts.
    Reorders,
    Repeats,
    Loses,
    TakesForNobody,
    Overcounts,
    TellsTooEarly,
    ForgetsToTell,
    RefusesForGood,
    NeverRefuses,
    // With calls.
    DropsCalls,
    AnswersForNobody,
    ForgetsCalls,
    AnswersByItself,
    ChangesBodies,
    MakesCallsCasts,
    CrossesAnswers,
    AnswersWrongly,
    CallsOvertake,
    CancelsEarly,
    HidesCancellation,
    AnswersWhatIsDropped,
    ForgetsWhatIsDropped,
    // With calls of a full server.
    QueuesWithoutRoom,
    MistakesFullForAbsent,
    // With the end of a server.
    ForgetsCallsAtItsEnd,
    EndsUntold,
    NeverEnds,
}

const ALL: &[(How, &str)] = &[
    (How::Reorders, "out of order"),
    (How::Repeats, "out of order"),
    (How::Loses, "was not delivered"),
    (How::TakesForNobody, "a cast to nobody was accepted"),
    (How::Overcounts, "no bound"),
    (How::TellsTooEarly, "there is none"),
    (How::ForgetsToTell, "nobody was told of room"),
    (How::RefusesForGood, "was refused"),
    (How::NeverRefuses, "for ever"),
    (How::AnswersForNobody, "answered or forgotten"),
    (How::DropsCalls, "was not delivered"),
    (How::ForgetsCalls, "was not delivered"),
    (How::AnswersByItself, "was not delivered"),
    (How::ChangesBodies, "out of order"),
    (How::MakesCallsCasts, "arrived as a cast"),
    (How::CrossesAnswers, "another answer"),
    (How::AnswersWrongly, "another answer"),
    (How::CallsOvertake, "out of order"),
    (How::CancelsEarly, "that somebody waits for"),
    (How::HidesCancellation, "not told that its caller has left"),
    (How::AnswersWhatIsDropped, "that nobody answered ended as Ok"),
    (How::ForgetsWhatIsDropped, "was forgotten"),
    (How::QueuesWithoutRoom, "was forgotten"),
    (How::MistakesFullForAbsent, "takes no calls"),
    (How::ForgetsCallsAtItsEnd, "was forgotten"),
    (How::EndsUntold, "that a full server ended"),
    (How::NeverEnds, "a cast to nobody was accepted"),
];

#[tokio::test(start_paused = true)]
async fn a_recorder_is_a_dispatch() {
    conforms(None).await;
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_that_does_one_thing_wrong_is_found() {
    for (how, said) in ALL {
        let mut task = JoinSet::new();
        task.spawn(conforms(Some(*how)));
        let Err(failed) = task.join_next().await.unwrap() else { panic!("{how:?} passes for right") };
        let failed = failed.into_panic();
        let message = failed.downcast_ref::<String>().cloned();
        let message = message.or_else(|| failed.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        assert!(message.as_ref().is_some_and(|text| text.contains(said)), "{how:?}: {message:?}");
    }
}

async fn conforms(how: Option<How>) {
    let from = node(&MemoryNetwork::new(), "a").await.kernel.local();
    let (recorder, ended) = (Arc::new(Recorder::with_room(30)), Arc::default());
    let mut sink = Sink { recorder: Arc::clone(&recorder), how, ended: Arc::clone(&ended), kept: Vec::new() };
    let dispatch: Arc<dyn Dispatch> = match how {
        Some(how) => Arc::new(Wrong { recorder, how, ended, kept: Mutex::default() }),
        None => recorder,
    };
    testing::dispatch(&*dispatch, &from, &server("absent"), &mut sink).await;
}

/// The server of a recorder, which deals with a message when it is taken out.
struct Sink {
    recorder: Arc<Recorder>,
    how: Option<How>,
    ended: Arc<AtomicBool>,
    kept: Vec<Arrived>,
}

impl Served for Sink {
    fn name(&self) -> ServerName {
        server("sink")
    }

    fn cast_body(&self, number: u32) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    fn call_body(&self, number: u32) -> Bytes {
        self.cast_body(number)
    }

    fn reply_body(&self, number: u32) -> Bytes {
        self.cast_body(number)
    }

    fn next(&mut self) -> BoxFuture<'_, Taken> {
        let number = |body: &Bytes| u32::from_be_bytes(body[..].try_into().unwrap());
        Box::pin(async move {
            match self.recorder.next().await {
                Arrived::Cast(_, body) => Taken::Cast(number(&body)),
                Arrived::Call(_, body, responder) => {
                    let answer = Answer { responder: Some(responder), how: self.how };
                    Taken::Call(number(&body), Box::new(answer))
                }
            }
        })
    }

    fn end(&mut self) -> BoxFuture<'_, ()> {
        self.ended.store(true, Ordering::Relaxed);
        if matches!(self.how, Some(How::ForgetsCallsAtItsEnd | How::NeverEnds)) {
            self.kept = take_all(&self.recorder);
        }
        if self.how == Some(How::NeverEnds) {
            self.kept.clear();
        } else {
            self.recorder.end();
        }
        Box::pin(std::future::ready(()))
    }
}

/// All that a recorder keeps now.
fn take_all(recorder: &Recorder) -> Vec<Arrived> {
    let mut context = Context::from_waker(Waker::noop());
    let mut next = || std::pin::pin!(recorder.next()).poll(&mut context);
    std::iter::from_fn(|| match next() {
        Poll::Ready(arrived) => Some(arrived),
        Poll::Pending => None,
    })
    .collect()
}

#[derive(Debug)]
struct Answer {
    responder: Option<Responder>,
    how: Option<How>,
}

impl Asked for Answer {
    fn reply(mut self: Box<Self>, number: u32) {
        let number = if self.how == Some(How::AnswersWrongly) { number ^ 1 } else { number };
        self.responder.take().unwrap().reply(Bytes::copy_from_slice(&number.to_be_bytes()));
    }

    fn is_cancelled(&self) -> bool {
        match self.how {
            Some(How::CancelsEarly) => true,
            Some(How::HidesCancellation) => false,
            _ => self.responder.as_ref().unwrap().is_cancelled(),
        }
    }

    fn cancelled(&mut self) -> BoxFuture<'_, ()> {
        match self.how {
            Some(How::HidesCancellation) => Box::pin(std::future::pending()),
            _ => Box::pin(self.responder.as_ref().unwrap().cancelled()),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        match (self.how, self.responder.take()) {
            (Some(How::AnswersWhatIsDropped), Some(responder)) => responder.reply(Bytes::new()),
            (Some(How::ForgetsWhatIsDropped), Some(responder)) => std::mem::forget(responder),
            _ => {}
        }
    }
}

/// A dispatch that does one thing wrong.
struct Wrong {
    recorder: Arc<Recorder>,
    how: How,
    ended: Arc<AtomicBool>,
    kept: Mutex<Vec<(Bytes, Responder)>>,
}

impl Wrong {
    /// Whether the recorder tells of room now.
    fn has_room(&self, server: &ServerName) -> bool {
        let told = Arc::new(Flag::default());
        self.recorder.wake_with_room(server, &Bytes::new(), &Waker::from(Arc::clone(&told)));
        told.0.load(Ordering::Relaxed)
    }

    fn keep(&self, body: Bytes, responder: Responder) {
        self.kept.lock().unwrap().push((body, responder));
    }

    /// Hands three calls on together, each with the responder of another.
    fn cross(&self, from: &Arc<Peer>, server: &ServerName) {
        let mut kept = self.kept.lock().unwrap();
        if kept.len() == 3 {
            let (bodies, mut responders): (Vec<_>, Vec<_>) = kept.drain(..).unzip();
            responders.rotate_left(1);
            for (body, responder) in bodies.into_iter().zip(responders) {
                self.recorder.call(from, server, body, responder);
            }
        }
    }
}

impl Dispatch for Wrong {
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        if self.how == How::Loses && server.as_str() == "sink" && body.last() == Some(&15) {
            return Ok(());
        }
        if self.how == How::TakesForNobody && server.as_str() != "sink" {
            return Ok(());
        }
        self.recorder.cast(from, server, body).map_err(|refusal| match self.how {
            How::NeverRefuses => Refusal::Overloaded,
            How::RefusesForGood => Refusal::NotAllowed,
            _ => refusal,
        })
    }

    fn casts(&self, from: &Arc<Peer>, server: &ServerName, bodies: &[Bytes]) -> Accepted {
        let mut bodies = bodies.to_vec();
        match self.how {
            How::Reorders => bodies.reverse(),
            How::Repeats if server.as_str() == "sink" => bodies.extend(bodies.last().cloned()),
            _ => {}
        }
        let mut accepted = Accepted::of_each(server, &bodies, |body| self.cast(from, server, body));
        if self.how == How::Repeats && accepted.refused == 0 {
            accepted.messages = accepted.messages.min(bodies.len().saturating_sub(1));
        } else if self.how == How::Overcounts && accepted.refused == 0 {
            accepted.messages = bodies.len();
        }
        accepted
    }

    fn wake_with_room(&self, server: &ServerName, next: &Bytes, waker: &Waker) {
        match self.how {
            How::TellsTooEarly => waker.wake_by_ref(),
            // It tells of the room there is, and of none that comes.
            How::ForgetsToTell if self.has_room(server) => waker.wake_by_ref(),
            How::ForgetsToTell => {}
            How::EndsUntold => {
                let muffled = Muffled { ended: Arc::clone(&self.ended), waker: waker.clone() };
                self.recorder.wake_with_room(server, next, &Waker::from(Arc::new(muffled)));
            }
            _ => self.recorder.wake_with_room(server, next, waker),
        }
    }

    fn call(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes, responder: Responder) {
        let on = |body, responder| self.recorder.call(from, server, body, responder);
        if server.as_str() != "sink" {
            return if self.how == How::AnswersForNobody {
                responder.reply(body);
            } else {
                on(body, responder);
            };
        }
        match self.how {
            How::DropsCalls => drop(responder),
            How::ForgetsCalls => self.keep(body, responder),
            How::AnswersByItself => responder.reply(body),
            How::ChangesBodies => on(Bytes::from_static(&[9; 4]), responder),
            How::MakesCallsCasts => {
                self.recorder.cast(from, server, body.clone()).unwrap();
                self.keep(body, responder);
            }
            How::CrossesAnswers => {
                self.keep(body, responder);
                self.cross(from, server);
            }
            How::CallsOvertake => {
                let before = take_all(&self.recorder);
                on(body, responder);
                for arrived in before {
                    match arrived {
                        Arrived::Cast(_, body) => self.recorder.cast(from, server, body).unwrap(),
                        Arrived::Call(_, body, responder) => on(body, responder),
                    }
                }
            }
            How::QueuesWithoutRoom if !self.has_room(server) => self.keep(body, responder),
            How::MistakesFullForAbsent if !self.has_room(server) => responder.refuse(Refusal::NoProc),
            _ => on(body, responder),
        }
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Wakes until its server has ended.
struct Muffled {
    ended: Arc<AtomicBool>,
    waker: Waker,
}

impl Wake for Muffled {
    fn wake(self: Arc<Self>) {
        if !self.ended.load(Ordering::Relaxed) {
            self.waker.wake_by_ref();
        }
    }
}
