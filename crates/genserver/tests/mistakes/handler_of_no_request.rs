//! A handler of calls for a message that does not say what its reply is.
use genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo};

pub struct Get;

pub struct Store;

impl GenServer for Store {}

impl HandleCall<Get> for Store { //~ `Get` cannot be called with: it does not say what its reply is
    async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome { //~ `Get` cannot be called with: it does not say what its reply is
        reply.send(7)
    }
}
