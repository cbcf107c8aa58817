//! A handler that does not say how to go on.
use genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request};

pub struct Get;

impl Request for Get {
    type Reply = u64;
}

pub struct Store;

impl GenServer for Store {}

impl HandleCall<Get> for Store {
    async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome { //~ [E0308]
        let _told = reply.send(7);
    }
}
