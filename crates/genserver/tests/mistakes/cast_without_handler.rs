//! A cast of what the server does not handle.
use genserver::{GenServer, LocalAddr};

pub struct Put;

pub struct Store;

impl GenServer for Store {}

pub fn tell(here: LocalAddr<Store>) {
    let _cast = here.try_cast(Put); //~ `Store` does not handle casts of
}
