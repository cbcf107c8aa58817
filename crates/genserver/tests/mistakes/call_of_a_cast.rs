//! A call with a message that has no reply.
use genserver::{Cx, GenServer, HandleCast, LocalAddr, Outcome};

pub struct Put;

pub struct Store;

impl GenServer for Store {}

impl HandleCast<Put> for Store {
    async fn cast(&mut self, _: Put, _: &mut Cx<Self>) -> Outcome {
        Outcome::Continue
    }
}

pub fn ask(here: LocalAddr<Store>) {
    let _call = here.call(Put); //~ `Put` cannot be called with: it does not say what its reply is
}
