//! The crate's own implementations of its traits, each by the suite of that trait.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use bytes::Bytes;
use common::{cookie, id, node, server};
use netkernel::testing::{self, Recorder, Served};
use netkernel::{
    Accepted, Address, BoxFuture, Config, Dispatch, Insecure, Kernel, MemoryNetwork, Net, Noise, Peer,
    Refusal, Responder, Security, ServerName, Tcp, Transport,
};
use tokio::task::JoinSet;

#[tokio::test]
async fn memory_is_a_transport() {
    testing::transport(&MemoryNetwork::new().host("a"), &"a:0".parse().unwrap()).await;
}

#[tokio::test]
async fn tcp_is_a_transport() {
    testing::transport(&Tcp, &"127.0.0.1:0".parse().unwrap()).await;
}

async fn kernel(
    name: &str,
    transport: impl Transport,
    security: impl Security,
    listen: Address,
) -> (Kernel, Arc<Recorder>) {
    let config = Config::builder(id(name), security).transport(transport).listen(listen);
    let (kernel, recorder) =
        (Kernel::bind(config.build().unwrap()).await.unwrap(), Arc::new(Recorder::default()));
    kernel.serve(Arc::clone(&recorder) as Arc<dyn Dispatch>);
    (kernel, recorder)
}

#[tokio::test]
async fn a_kernel_over_memory_is_a_net() {
    let network = MemoryNetwork::new();
    let noise = || Noise::new(&cookie(false));
    let (a, _) = kernel("a", network.host("a"), noise(), "a:0".parse().unwrap()).await;
    let (b, at_b) = kernel("b", network.host("b"), noise(), "b:0".parse().unwrap()).await;
    testing::net(&a, &b, &at_b).await;
}

#[tokio::test]
async fn a_kernel_over_tcp_is_a_net() {
    let listen: Address = "127.0.0.1:0".parse().unwrap();
    let noise = || Noise::new(&cookie(false));
    let (a, _) = kernel("a", Tcp, noise(), listen.clone()).await;
    let (b, at_b) = kernel("b", Tcp, noise(), listen).await;
    testing::net(&a, &b, &at_b).await;
}

#[tokio::test]
async fn a_kernel_without_security_is_a_net() {
    let network = MemoryNetwork::new();
    let (a, _) = kernel("a", network.host("a"), Insecure, "a:0".parse().unwrap()).await;
    let (b, at_b) = kernel("b", network.host("b"), Insecure, "b:0".parse().unwrap()).await;
    testing::net(&a, &b, &at_b).await;
}

#[tokio::test]
async fn nodes_of_one_process_are_a_net() {
    let (mesh, at_b) = (testing::LocalMesh::new(), Arc::new(Recorder::default()));
    let a = mesh.node(id("a"), Arc::new(Recorder::default()));
    let b = mesh.node(id("b"), Arc::clone(&at_b) as Arc<dyn Dispatch>);
    testing::net(&a, &b, &at_b).await;
}

#[tokio::test]
async fn noise_is_a_security() {
    let other = Noise::new(&cookie(true));
    testing::security(&Noise::new(&cookie(false)), Some(&other)).await;
}

#[tokio::test]
async fn noise_and_no_security_are_strangers() {
    testing::security(&Noise::new(&cookie(false)), Some(&Insecure)).await;
}

#[tokio::test]
async fn no_security_is_a_security() {
    testing::security(&Insecure, None).await;
}

#[tokio::test]
async fn a_recorder_is_a_dispatch() {
    conforms(|recorder| recorder).await;
}

/// The server of a recorder, which deals with a cast when it is taken out.
struct Sink(Arc<Recorder>);

impl Served for Sink {
    fn name(&self) -> ServerName {
        server("sink")
    }

    fn body(&self, number: u32) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    fn next(&mut self) -> BoxFuture<'_, u32> {
        Box::pin(async { u32::from_be_bytes(self.0.casts(1).await[0].1[..].try_into().unwrap()) })
    }
}

async fn conforms(under_test: impl FnOnce(Arc<Recorder>) -> Arc<dyn Dispatch>) {
    let from = node(&MemoryNetwork::new(), "a").await.kernel.local();
    let recorder = Arc::new(Recorder::with_room(30));
    let dispatch = under_test(Arc::clone(&recorder));
    testing::dispatch(&*dispatch, &from, &server("absent"), &mut Sink(recorder)).await;
}

/// A dispatch that does one thing wrong.
struct Wrong {
    recorder: Arc<Recorder>,
    how: How,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Reorders,
    Repeats,
    Overcounts,
    TellsTooEarly,
    ForgetsToTell,
    RefusesForGood,
    NeverRefuses,
}

impl Dispatch for Wrong {
    fn cast(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes) -> Result<(), Refusal> {
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
            How::ForgetsToTell => {
                // It tells of the room there is, and of none that comes.
                let now = Arc::new(AtomicBool::new(false));
                self.recorder.wake_with_room(server, next, &Waker::from(Arc::new(Flag(Arc::clone(&now)))));
                if now.load(Ordering::Relaxed) {
                    waker.wake_by_ref();
                }
            }
            _ => self.recorder.wake_with_room(server, next, waker),
        }
    }

    fn call(&self, from: &Arc<Peer>, server: &ServerName, body: Bytes, responder: Responder) {
        self.recorder.call(from, server, body, responder);
    }
}

struct Flag(Arc<AtomicBool>);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_that_does_one_thing_wrong_is_found() {
    for (how, said) in [
        (How::Reorders, "out of order"),
        (How::Repeats, "out of order"),
        (How::Overcounts, "no bound"),
        (How::TellsTooEarly, "there is none"),
        (How::ForgetsToTell, "nobody was told"),
        (How::RefusesForGood, "was refused"),
        (How::NeverRefuses, "for ever"),
    ] {
        let conforming = conforms(move |recorder| Arc::new(Wrong { recorder, how }));
        let mut task = JoinSet::new();
        task.spawn(conforming);
        let failed = task.join_next().await.unwrap().expect_err("it does not conform").into_panic();
        let message = failed.downcast_ref::<String>().cloned();
        let message = message.or_else(|| failed.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        assert!(message.as_ref().is_some_and(|text| text.contains(said)), "{said}: {message:?}");
    }
}
