//! The mailbox and the seat, compiled from their own sources with loom's locks in place of the standard
//! library's, under the orders in which their threads can take steps.
#![expect(dead_code, reason = "each model uses a part of what it compiles")]

#[path = "../src/lock.rs"]
mod lock;
#[path = "../src/mailbox.rs"]
mod mailbox;
#[path = "../src/seat.rs"]
mod seat;
#[path = "../src/taken.rs"]
mod taken;

mod sync {
    pub(crate) use loom::sync::atomic::AtomicBool;
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

// What those sources need of the rest of the crate.

mod deadline {
    use tokio::time::Instant;

    pub(crate) trait Expire: Send + Sync {
        fn expire(&self, now: Instant) -> Option<Instant>;
    }
}

mod exit {
    pub(crate) use genserver::Exit;
}

mod server {
    pub(crate) trait GenServer {}
    impl GenServer for super::Nothing {}
}

mod envelope {
    use std::pin::Pin;

    pub(crate) trait Envelope<S>: Send {
        fn number(&self) -> u32;
    }

    impl<S> Envelope<S> for u32 {
        fn number(&self) -> u32 {
            *self
        }
    }

    pub(crate) type Letter<S> = Pin<Box<dyn Envelope<S>>>;
}

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use genserver::Exit;
use loom::future::block_on;
use loom::thread;

use crate::mailbox::{Mailbox, Rejected};
use crate::seat::Admitted;
use crate::taken::{Room, Taken, Urgency};

/// Runs a model under every order of its threads' steps with at most two preemptions, which is where nearly all
/// errors show (Musuvathi and Qadeer, "Iterative Context Bounding", 2007), and which takes a second, not minutes.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// The server of these mailboxes.
struct Nothing;

fn mailbox(messages: usize) -> Arc<Mailbox<Nothing>> {
    Arc::new(Mailbox::new(Room { messages, bytes: 1_000 }))
}

fn push(mailbox: &Mailbox<Nothing>, number: u32, reserved: bool) -> Result<(), Rejected> {
    mailbox.push(Box::pin(number), 0, reserved).map_err(|(_, rejected)| rejected)
}

/// Takes what there is, sleeping until there is something.
async fn take(mailbox: &Mailbox<Nothing>, taken: &mut Taken<Nothing>) -> Vec<u32> {
    poll_fn(|context| mailbox.poll_take(Some(context.waker()), taken, true)).await;
    std::iter::from_fn(|| taken.pop(true)).map(|letter| letter.number()).collect()
}

#[test]
fn a_sleeping_server_is_woken_for_every_message() {
    explore(|| {
        let mailbox = mailbox(4);
        let senders: Vec<_> = [1, 2]
            .map(|number| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || push(&mailbox, number, false).unwrap())
            })
            .into();
        let mut all = block_on(async {
            let (mut taken, mut all) = (Taken::new(), Vec::new());
            while all.len() < 2 {
                all.append(&mut take(&mailbox, &mut taken).await);
            }
            all
        });
        all.sort_unstable();
        assert_eq!(all, [1, 2]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn messages_of_one_sender_stay_in_order() {
    explore(|| {
        let mailbox = mailbox(4);
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || (1..=3).for_each(|number| push(&mailbox, number, false).unwrap()))
        };
        let all = block_on(async {
            let (mut taken, mut all) = (Taken::new(), Vec::new());
            while all.len() < 3 {
                all.append(&mut take(&mailbox, &mut taken).await);
            }
            all
        });
        assert_eq!(all, [1, 2, 3]);
        sender.join().unwrap();
    });
}

/// Waits for room and sends, as a cast does.
async fn send(mailbox: &Mailbox<Nothing>, number: u32) -> Result<(), Rejected> {
    match push(mailbox, number, false) {
        Err(Rejected::Full) => {}
        sent => return sent,
    }
    let seat = mailbox.wait_for_room()?;
    let admitted = poll_fn(|context| seat.poll(context)).await;
    let holds_room = seat.leave() && admitted == Admitted::Room;
    push(mailbox, number, holds_room)
}

#[test]
fn messages_that_came_together_stay_so_and_give_their_room_back() {
    explore(|| {
        let mailbox = mailbox(4);
        let reader = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                let room = mailbox.reserve([0; 3].into_iter()).unwrap();
                mailbox.push_many(Box::pin(7), room).unwrap();
            })
        };
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || push(&mailbox, 1, false).unwrap())
        };
        let mut taken = Taken::new();
        let mut seen = Vec::new();
        block_on(async {
            while seen.len() < 4 {
                poll_fn(|context| mailbox.poll_take(Some(context.waker()), &mut taken, true)).await;
                while let Some(letter) = taken.pop(true) {
                    seen.push(letter.number());
                    taken.put_back(letter);
                }
            }
        });
        assert!(seen == [7, 7, 7, 1] || seen == [1, 7, 7, 7], "{seen:?}");
        assert!(mailbox.suspend(Waker::noop(), &mut taken));
        assert_eq!(mailbox.depth(4), 0);
        reader.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn room_that_is_given_back_wakes_who_waits_for_it() {
    explore(|| {
        let mailbox = mailbox(1);
        push(&mailbox, 1, false).unwrap();
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || block_on(send(&mailbox, 2)).unwrap())
        };
        let all = block_on(async {
            let (mut taken, mut all) = (Taken::new(), Vec::new());
            while all.len() < 2 {
                all.append(&mut take(&mailbox, &mut taken).await);
            }
            all
        });
        assert_eq!(all, [1, 2]);
        sender.join().unwrap();
    });
}

#[test]
fn room_given_to_one_who_leaves_goes_to_the_next() {
    explore(|| {
        let mailbox = mailbox(1);
        push(&mailbox, 1, false).unwrap();
        // The first in the queue for room, which gives up while room is given.
        let first = mailbox.wait_for_room().unwrap();
        let second = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || block_on(send(&mailbox, 2)).unwrap())
        };
        let leaver = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                if first.leave() {
                    mailbox.release(Room { messages: 1, bytes: 0 });
                }
            })
        };
        let all = block_on(async {
            let (mut taken, mut all) = (Taken::new(), Vec::new());
            while all.len() < 2 {
                all.append(&mut take(&mailbox, &mut taken).await);
            }
            all
        });
        assert_eq!(all, [1, 2]);
        second.join().unwrap();
        leaver.join().unwrap();
    });
}

#[test]
fn what_is_accepted_while_a_server_stops_is_handled_or_refused_once() {
    explore(|| {
        let mailbox = mailbox(4);
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || push(&mailbox, 1, false).is_ok())
        };
        let stopper = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.stop(Urgency::Graceful))
        };
        let mut handled = block_on(async {
            let (mut taken, mut handled) = (Taken::new(), Vec::new());
            loop {
                handled.append(&mut take(&mailbox, &mut taken).await);
                if taken.signals.stop.is_some() {
                    break handled;
                }
            }
        });
        handled.extend(mailbox.close(&Exit::Shutdown).iter().map(|letter| letter.number()));
        let accepted = sender.join().unwrap();
        stopper.join().unwrap();
        // Accepted after the last look, it is in what `close` gives; after that, it is refused.
        handled.extend(mailbox.close(&Exit::Shutdown).iter().map(|letter| letter.number()));
        assert_eq!(handled.len(), usize::from(accepted));
    });
}

#[test]
fn a_stop_reaches_a_server_whose_handler_suspends() {
    explore(|| {
        let mailbox = mailbox(4);
        let stopper = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.stop(Urgency::Now))
        };
        // The run loop while a handler is pending: ends only because it is killed.
        let mut taken = Taken::new();
        let mut suspended = false;
        block_on(poll_fn(|context| {
            if suspended && mailbox.is_killed() {
                return Poll::Ready(());
            }
            suspended = true;
            if mailbox.suspend(context.waker(), &mut taken) { Poll::Pending } else { Poll::Ready(()) }
        }));
        stopper.join().unwrap();
    });
}

#[test]
fn those_who_wait_for_room_learn_that_the_server_ended() {
    explore(|| {
        let mailbox = mailbox(1);
        push(&mailbox, 1, false).unwrap();
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || block_on(send(&mailbox, 2)))
        };
        assert_eq!(mailbox.close(&Exit::Killed).len(), 1);
        assert!(matches!(sender.join().unwrap(), Err(Rejected::Exited(Exit::Killed))));
    });
}

/// Offers a message until it is taken, as the link of another node does: told when there is room.
async fn offer(mailbox: &Mailbox<Nothing>, number: u32) -> Result<(), Rejected> {
    poll_fn(|context| match push(mailbox, number, false) {
        Err(Rejected::Full) => {
            mailbox.wake_with_room(context.waker());
            Poll::Pending
        }
        taken => Poll::Ready(taken),
    })
    .await
}

#[test]
fn a_link_that_asks_for_room_while_some_appears_is_told() {
    explore(|| {
        let mailbox = mailbox(1);
        push(&mailbox, 1, false).unwrap();
        let link = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || block_on(offer(&mailbox, 2)).unwrap())
        };
        let all = block_on(async {
            let (mut taken, mut all) = (Taken::new(), Vec::new());
            while all.len() < 2 {
                all.append(&mut take(&mailbox, &mut taken).await);
            }
            all
        });
        assert_eq!(all, [1, 2]);
        link.join().unwrap();
    });
}

#[test]
fn a_link_and_a_sender_that_wait_for_the_same_room_both_get_some() {
    explore(|| {
        let mailbox = mailbox(1);
        push(&mailbox, 1, false).unwrap();
        let link = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || block_on(offer(&mailbox, 2)).unwrap())
        };
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || block_on(send(&mailbox, 3)).unwrap())
        };
        let mut all = block_on(async {
            let (mut taken, mut all) = (Taken::new(), Vec::new());
            while all.len() < 3 {
                all.append(&mut take(&mailbox, &mut taken).await);
            }
            all
        });
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        link.join().unwrap();
        sender.join().unwrap();
    });
}

#[test]
fn a_link_that_waits_for_room_learns_that_the_server_stops() {
    let ends: [fn(&Mailbox<Nothing>); 3] = [
        |mailbox| mailbox.stop(Urgency::Graceful),
        |mailbox| mailbox.stop(Urgency::Now),
        |mailbox| drop(mailbox.close(&Exit::Killed)),
    ];
    for end in ends {
        explore(move || {
            let mailbox = mailbox(1);
            push(&mailbox, 1, false).unwrap();
            let link = {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || block_on(offer(&mailbox, 2)))
            };
            end(&mailbox);
            assert!(matches!(link.join().unwrap(), Err(Rejected::Draining | Rejected::Exited(_))));
        });
    }
}
