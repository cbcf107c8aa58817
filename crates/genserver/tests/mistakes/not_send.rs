//! A handler that holds across an await what may not leave its thread.
use genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request};

pub struct Get;

impl Request for Get {
    type Reply = u64;
}

pub struct Store;

impl GenServer for Store {}

impl HandleCall<Get> for Store {
    // The compiler shows the value and the await, too.
    async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome { //~ future cannot be sent between threads safely
        let shared = std::rc::Rc::new(7);
        std::future::ready(()).await;
        reply.send(*shared)
    }
}
