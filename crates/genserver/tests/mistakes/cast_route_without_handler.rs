//! A route for casts whose handler is missing.
use genserver::{GenServer, Routes, Wire};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde::ser::{Serialize, Serializer};

pub struct Put;

impl Wire for Put {
    const TAG: &'static str = "put";
}

impl Serialize for Put {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Put {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

pub struct Store;

impl GenServer for Store {
    fn routes(routes: &mut Routes<Self>) {
        routes.cast::<Put>(); //~ `Store` does not handle casts of `Put`
    }
}
