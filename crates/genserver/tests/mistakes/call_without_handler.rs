//! A call of what the server does not handle.
use genserver::{GenServer, LocalAddr, Request};

pub struct Put;

impl Request for Put {
    type Reply = ();
}

pub struct Store;

impl GenServer for Store {}

pub fn ask(here: LocalAddr<Store>) {
    let _call = here.call(Put); //~ `Store` does not handle calls of
}
