//! A small message that is alone is written by its sender; one of several is gathered by the session's writer; and what
//! the connection does not take at once follows, in order.

mod common;
#[expect(dead_code, reason = "this file uses a part of it")]
#[path = "common/shim.rs"]
mod shim;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use common::{SECOND, TestNode, config, id, node, server, settle, start};
use netkernel::{Address, BoxFuture, Connection, Listener, MemoryHost, MemoryNetwork, Net, Transport};
use shim::{REPLY, Shim, call, define, frames};
use tokio::io::AsyncWrite;
use tokio_util::task::TaskTracker;

async fn connected(network: &MemoryNetwork) -> (TestNode, TestNode) {
    let (a, b) = (node(network, "a").await, node(network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.expect("b is there");
    settle().await;
    (a, b)
}

/// Messages to the one peer that wait, and that were written.
fn waiting_and_sent(node: &TestNode) -> (usize, u64) {
    let peer = &node.kernel.peers()[0];
    (peer.queued_messages, peer.traffic.messages_sent)
}

#[tokio::test(start_paused = true)]
async fn a_call_by_itself_is_written_at_once_and_calls_beside_it_by_the_writer() {
    let network = MemoryNetwork::new();
    let (a, b) = connected(&network).await;
    let (_, sent) = waiting_and_sent(&a);
    let call = |body: &'static [u8]| a.kernel.call(&b.id(), &server("echo"), body.into(), SECOND);
    let first = call(b"first");
    assert_eq!(waiting_and_sent(&a), (0, sent + 1), "nothing but this task has run");
    let (second, third) = (call(b"second"), call(b"third"));
    assert_eq!(waiting_and_sent(&a), (2, sent + 1));
    let replies = tokio::join!(first, second, third);
    assert_eq!(replies, (Ok("first".into()), Ok("second".into()), Ok("third".into())));
    settle().await;
    let large = a.kernel.call(&b.id(), &server("echo"), vec![0; 4_000].into(), SECOND);
    assert_eq!(waiting_and_sent(&a), (1, sent + 3), "an idle session's buffer does not grow by it");
    assert_eq!(large.await.unwrap().len(), 4_000);
}

#[tokio::test(start_paused = true)]
async fn calls_of_a_multicall_are_left_to_the_writers() {
    let network = MemoryNetwork::new();
    let (a, b) = connected(&network).await;
    let (_, sent) = waiting_and_sent(&a);
    let nodes = [b.id(), id("nowhere")];
    let outcomes = a.kernel.multicall(&nodes, &server("echo"), &Bytes::from("all"), SECOND);
    assert_eq!(waiting_and_sent(&a), (1, sent));
    assert_eq!(outcomes.await[0].1, Ok(Bytes::from("all")));
    let outcomes = a.kernel.multicall(&nodes[..1], &server("echo"), &Bytes::from("one"), SECOND);
    assert_eq!(waiting_and_sent(&a), (0, sent + 2));
    assert_eq!(outcomes.await[0].1, Ok(Bytes::from("one")));
}

/// Replies to calls that came together go together.
#[tokio::test(start_paused = true)]
async fn replies_to_the_calls_of_one_record_are_written_as_one() {
    let network = MemoryNetwork::new();
    let b = node(&network, "b").await;
    let mut shim = Shim::connect(&network, &b, "mallory").await;
    shim.record(&define(1, "echo")).await;
    settle().await;
    for calls in [1, 3, 1] {
        let begun = tokio::time::Instant::now();
        let record: Vec<u8> = (1..=calls).flat_map(|number| call(number, 1, b"hi")).collect();
        shim.record(&record).await;
        let mut replies = 0;
        while replies == 0 {
            let record = shim.next_record().await.unwrap();
            replies = frames(&record).iter().filter(|frame| frame.kind == REPLY).count();
        }
        assert_eq!(replies as u64, calls);
        assert!(begun.elapsed() < SECOND / 10, "they waited for a heartbeat to be written with");
    }
}

/// A host whose connections take a few bytes at a time and then, for once, none.
#[derive(Debug)]
struct Narrow(MemoryHost);

impl Transport for Narrow {
    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.0.bind(address)
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<Connection>> {
        Box::pin(async {
            let mut connection = self.0.connect(address).await?;
            connection.write = Box::new(NarrowWrite { write: connection.write, tired: false });
            Ok(connection)
        })
    }
}

struct NarrowWrite {
    write: Box<dyn AsyncWrite + Send + Unpin>,
    tired: bool,
}

impl AsyncWrite for NarrowWrite {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.tired = !self.tired;
        if !self.tired {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.write).poll_write(context, &bytes[..bytes.len().min(7)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_connection_does_not_take_at_once_follows_in_order() {
    let network = MemoryNetwork::new();
    let mut b = node(&network, "b").await;
    let a = start(config(&network, "a", 1).transport(Narrow(network.host("a")))).await;
    a.connect(&b);
    for number in 0..100 {
        settle().await;
        let text = format!("call {number} is longer than seven bytes");
        let call = a.kernel.call(&b.id(), &server("echo"), text.clone().into(), SECOND);
        // Every other time nothing else wakes the writer.
        let cast = (number % 2 == 0).then(|| Bytes::from(number.to_string()));
        if let Some(cast) = &cast {
            a.kernel.try_cast(&b.id(), &server("sink"), cast.clone()).unwrap();
        }
        assert_eq!(call.await.unwrap(), text);
        assert_eq!(b.casts.try_recv().ok().map(|(_, body)| body), cast);
    }
    assert_eq!(a.kernel.peers()[0].traffic.sessions, 1);
}

/// One caller or several at a time, on several threads, with casts between: nothing is left lying.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_call_is_answered_while_senders_and_the_writer_take_turns() {
    let network = MemoryNetwork::new();
    let (a, mut b) = (node(&network, "a").await, node(&network, "b").await);
    a.connect(&b);
    a.echo(&b, "connected").await.unwrap();
    let (kernel, to, tasks) = (Arc::new(a.kernel.clone()), b.id(), TaskTracker::new());
    for caller in 0..3_u64 {
        let (kernel, to) = (Arc::clone(&kernel), to.clone());
        tasks.spawn(async move {
            for number in 0..400 * (caller + 1) {
                let body = Bytes::from(format!("{caller} {number}"));
                let reply = kernel.call(&to, &server("echo"), body.clone(), 60 * SECOND).await;
                assert_eq!(reply, Ok(body));
                if number % 7 == caller {
                    let cast = Bytes::from(format!("{caller}"));
                    kernel.cast(&to, &server("sink"), cast, 60 * SECOND).await.unwrap();
                }
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    let casts: u64 = (0..3)
        .map(|caller| (0..400 * (caller + 1)).filter(|number| number % 7 == caller).count() as u64)
        .sum();
    for _ in 0..casts {
        b.casts.recv().await.unwrap();
    }
}
