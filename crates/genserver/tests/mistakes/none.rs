//! Nothing is wrong here: the other programs differ from this one by their mistake.
use genserver::{Addr, CallError, Cx, GenServer, HandleCall, HandleCast, LocalAddr, Outcome, ReplyTo, Request, Routes, Wire};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde::ser::{Serialize, Serializer};

pub struct Get;

impl Request for Get {
    type Reply = u64;
}

impl Wire for Get {
    const TAG: &'static str = "get";
}

// As derived: the programs do without derives, which are a library of their own.
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

pub struct Put;

pub struct Store;

impl GenServer for Store {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Get>();
    }
}

impl HandleCall<Get> for Store {
    async fn call(&mut self, _: Get, reply: ReplyTo<u64>, _: &mut Cx<Self>) -> Outcome {
        reply.send(7)
    }
}

impl HandleCast<Put> for Store {
    async fn cast(&mut self, _: Put, _: &mut Cx<Self>) -> Outcome {
        Outcome::Continue
    }
}

pub async fn ask(here: LocalAddr<Store>, anywhere: Addr<Store>) -> Result<u64, CallError> {
    here.cast(Put).await.map_err(|_| CallError::NoReply)?;
    Ok(here.call(Get).await? + anywhere.call(Get).await?)
}
