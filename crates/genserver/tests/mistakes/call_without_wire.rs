//! A call of another node's server with a message that has no wire identity.
use genserver::{Addr, Cx, GenServer, HandleCall, Outcome, ReplyTo, Request};

pub struct Get;

impl Request for Get {
    type Reply = u64;
}

pub struct Store;

impl GenServer for Store {}

impl HandleCall<Get> for Store {
    async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome {
        reply.send(7)
    }
}

pub fn ask(anywhere: Addr<Store>) {
    let _call = anywhere.call(Get); //~ `Get` cannot be sent to another node: it has no wire identity
}
