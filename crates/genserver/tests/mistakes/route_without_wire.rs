//! A route for a message that has no wire identity.
use genserver::{Cx, GenServer, HandleCast, Outcome, Routes};

pub struct Put;

pub struct Store;

impl GenServer for Store {
    fn routes(routes: &mut Routes<Self>) {
        routes.cast::<Put>(); //~ `Put` cannot be sent to another node: it has no wire identity
    }
}

impl HandleCast<Put> for Store {
    async fn cast(&mut self, _: Put, _: &mut Cx<Self>) -> Outcome {
        Outcome::Continue
    }
}
