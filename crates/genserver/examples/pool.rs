//! A supervised pool of workers: one that panics is started again, and the others do not notice.

use std::time::Duration;

use genserver::{
    CallError, Child, Cx, GenServer, HandleCall, LocalAddr, Outcome, ReplyTo, Request, Strategy, Supervisor,
    System,
};

struct Divide(i64, i64);

impl Request for Divide {
    type Reply = i64;
}

struct Worker;

impl GenServer for Worker {}

impl HandleCall<Divide> for Worker {
    async fn call(&mut self, Divide(a, b): Divide, reply: ReplyTo<i64>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(a / b)
    }
}

const WORKERS: usize = 4;

/// Which worker takes the job of that number: at once, unless it is just being started again. None while the system
/// shuts down.
async fn worker(system: &System, job: usize) -> Option<LocalAddr<Worker>> {
    system.wait_for(format!("worker-{}", job % WORKERS)).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut pool = Supervisor::new(Strategy::OneForOne).intensity(3, Duration::from_secs(5));
    for number in 0..WORKERS {
        pool = pool.child(Child::new(format!("worker-{number}"), || Worker));
    }
    let system = System::local();
    system.spawn("pool", pool).await?;

    for (job, divisor) in [3, 0, 5, 7, 9, 11].into_iter().enumerate() {
        let Some(worker) = worker(&system, job).await else { break };
        match worker.call(Divide(1_155, divisor)).await {
            Ok(quotient) => println!("job {job}: {quotient}"),
            Err(CallError::Exited { exit, .. }) => println!("job {job}: not done, {exit}"),
            Err(error) => return Err(error.into()),
        }
    }
    system.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
