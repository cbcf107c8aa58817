//! Two replies to one call.
use genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request};

pub struct Get;

impl Request for Get {
    type Reply = u64;
}

pub struct Store;

impl GenServer for Store {}

impl HandleCall<Get> for Store {
    async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome {
        reply.send(7);
        reply.send(8) //~ [E0382]
    }
}
