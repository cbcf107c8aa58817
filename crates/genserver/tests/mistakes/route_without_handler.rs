//! A route whose handler is missing.
use genserver::{GenServer, Request, Routes, Wire};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde::ser::{Serialize, Serializer};

pub struct Get;

impl Request for Get {
    type Reply = u64;
}

impl Wire for Get {
    const TAG: &'static str = "get";
}

impl Serialize for Get {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Get {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

pub struct Store;

impl GenServer for Store {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Get>(); //~ `Store` does not handle calls of `Get`
    }
}
