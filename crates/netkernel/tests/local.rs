//! Messages of a node to its own servers go by the rules that all others have.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use common::{SECOND, config, id, node, server, start};
use netkernel::{
    CallError, Dispatch, Kernel, MemoryNetwork, Net, Peer, Refusal, Responder, SendError, ServerName, Stopped,
};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_handed_back_to_a_neighbour_too() {
    let network = MemoryNetwork::new();
    let mut a = start(config(&network, "a", 1).message_bytes_max(1_000)).await;
    let (to, sink) = (id("a"), server("sink"));
    let (fits, over) = (Bytes::from(vec![0; 1_000]), Bytes::from(vec![0; 1_001]));
    let handed_back = |error: SendError| {
        assert!(
            matches!(&error, SendError::TooLarge { bytes: 1_001, max: 1_000, body } if *body == over),
            "{error:?}"
        );
    };
    handed_back(a.kernel.try_cast(&to, &sink, over.clone()).unwrap_err());
    handed_back(a.kernel.try_cast_ahead(&to, &sink, over.clone()).unwrap_err());
    handed_back(a.kernel.cast(&to, &sink, over.clone(), SECOND).await.unwrap_err());
    let refused = a.kernel.call(&to, &server("echo"), over.clone(), SECOND).await;
    assert_eq!(refused, Err(CallError::TooLarge { bytes: 1_001, max: 1_000 }));
    a.kernel.try_cast(&to, &sink, fits.clone()).unwrap();
    assert_eq!(a.kernel.call(&to, &server("echo"), fits.clone(), SECOND).await.unwrap(), fits);
    assert_eq!(a.casts.recv().await.unwrap().1, fits);
    assert!(a.casts.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_kernel_that_has_shut_down_takes_nothing_for_itself() {
    let network = MemoryNetwork::new();
    let mut a = node(&network, "a").await;
    assert_eq!(a.kernel.shutdown(SECOND).await, Stopped::Drained);
    let (to, body) = (id("a"), Bytes::from_static(b"mine"));
    let cast = a.kernel.try_cast(&to, &server("sink"), body.clone()).unwrap_err();
    assert!(matches!(&cast, SendError::ShuttingDown { body: returned } if *returned == body), "{cast:?}");
    let cast = a.kernel.cast(&to, &server("sink"), body.clone(), SECOND).await.unwrap_err();
    assert!(matches!(&cast, SendError::ShuttingDown { body: returned } if *returned == body), "{cast:?}");
    let called = a.kernel.call(&to, &server("echo"), body, SECOND).await;
    assert_eq!(called, Err(CallError::ShuttingDown));
    assert!(a.casts.try_recv().is_err());
}

/// A mailbox that is full until it is emptied, and tells then, or that calls at once though it is still full.
#[derive(Default)]
struct Mailbox {
    held: Mutex<Option<Bytes>>,
    waker: Mutex<Option<Waker>>,
    lies: bool,
    offers: Mutex<usize>,
}

impl Dispatch for Mailbox {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, body: Bytes) -> Result<(), Refusal> {
        *self.offers.lock().unwrap() += 1;
        let mut held = self.held.lock().unwrap();
        if held.is_some() {
            return Err(Refusal::Overloaded);
        }
        *held = Some(body);
        Ok(())
    }

    fn wake_with_room(&self, _server: &ServerName, _next: &Bytes, waker: &Waker) {
        if self.lies {
            waker.wake_by_ref();
        }
        *self.waker.lock().unwrap() = Some(waker.clone());
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes, responder: Responder) {
        responder.refuse(Refusal::NoProc);
    }
}

async fn kernel(mailbox: &Arc<Mailbox>) -> Kernel {
    let kernel = Kernel::bind(config(&MemoryNetwork::new(), "a", 1).build().unwrap()).await.unwrap();
    kernel.serve(Arc::clone(mailbox) as Arc<dyn Dispatch>);
    kernel
}

#[tokio::test(start_paused = true)]
async fn a_waiting_cast_goes_at_once_when_its_neighbour_tells_of_room() {
    let mailbox = Arc::new(Mailbox::default());
    let kernel = kernel(&mailbox).await;
    let (to, full) = (id("a"), server("full"));
    kernel.try_cast(&to, &full, Bytes::from("first")).unwrap();
    let emptying = async {
        // At a moment at which nobody would look by the clock.
        tokio::time::sleep(Duration::from_micros(900)).await;
        assert_eq!(mailbox.held.lock().unwrap().take().unwrap(), "first");
        mailbox.waker.lock().unwrap().take().unwrap().wake();
        Instant::now()
    };
    let (cast, emptied) = tokio::join!(kernel.cast(&to, &full, Bytes::from("second"), SECOND), emptying);
    cast.unwrap();
    assert_eq!(emptied, Instant::now());
    assert_eq!(mailbox.held.lock().unwrap().take().unwrap(), "second");
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_calls_without_room_is_not_asked_without_end() {
    let mailbox = Arc::new(Mailbox { lies: true, ..Mailbox::default() });
    let kernel = kernel(&mailbox).await;
    let (to, full) = (id("a"), server("full"));
    kernel.try_cast(&to, &full, Bytes::from("first")).unwrap();
    let busy = kernel.cast(&to, &full, Bytes::from("second"), SECOND).await.unwrap_err();
    assert!(matches!(&busy, SendError::Busy { body, .. } if *body == "second"), "{busy:?}");
    let offers = *mailbox.offers.lock().unwrap();
    assert!(offers <= 2_100, "twice a millisecond at most: {offers}");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_cast_ends_with_its_message_when_the_kernel_shuts_down() {
    let mailbox = Arc::new(Mailbox::default());
    let kernel = kernel(&mailbox).await;
    let (to, full) = (id("a"), server("full"));
    kernel.try_cast(&to, &full, Bytes::from("first")).unwrap();
    let stopping = async {
        tokio::time::sleep(SECOND).await;
        kernel.shutdown(SECOND).await
    };
    let (cast, stopped) = tokio::join!(kernel.cast(&to, &full, Bytes::from("second"), 60 * SECOND), stopping);
    assert!(matches!(&cast, Err(SendError::ShuttingDown { body }) if *body == "second"), "{cast:?}");
    assert_eq!(stopped, Stopped::Drained);
}
