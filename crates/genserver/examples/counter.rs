//! A counter whose callers may wait for it to reach a value: replies are kept in the state and sent later.

use genserver::{Cx, GenServer, HandleCall, HandleCast, Outcome, ReplyTo, Request, System};

/// Adds one. Nobody waits.
struct Increment;

/// Waits until the count is at least this, and tells how far it is.
struct AtLeast(u64);

impl Request for AtLeast {
    type Reply = u64;
}

#[derive(Default)]
struct Counter {
    count: u64,
    waiting: Vec<(u64, ReplyTo<u64>)>,
}

impl GenServer for Counter {}

impl HandleCast<Increment> for Counter {
    async fn cast(&mut self, _: Increment, _cx: &mut Cx<Self>) -> Outcome {
        self.count += 1;
        for (_, reply) in self.waiting.extract_if(.., |(wanted, _)| *wanted <= self.count) {
            reply.send(self.count);
        }
        Outcome::Continue
    }
}

impl HandleCall<AtLeast> for Counter {
    async fn call(&mut self, AtLeast(wanted): AtLeast, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        if self.count >= wanted {
            return reply.send(self.count);
        }
        // Callers who gave up need no place.
        self.waiting.retain(|(_, reply)| !reply.is_cancelled());
        self.waiting.push((wanted, reply));
        Outcome::Continue
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::local();
    let counter = system.spawn("counter", Counter::default()).await?;
    let three = tokio::task::JoinSet::from_iter([counter.call(AtLeast(3)), counter.call(AtLeast(1))]);
    for _ in 0..3 {
        counter.cast(Increment).await?;
    }
    for reached in three.join_all().await {
        println!("reached {}", reached?);
    }
    Ok(())
}
