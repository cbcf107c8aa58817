//! A server whose message gained a field: nodes that still send version 1 are understood.
//!
//! `old` is the program as it was, still running on another node; the rest is the program as it is now.

use std::collections::BTreeMap;
use std::sync::Arc;

use genserver::{Config, Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, System, Wire};
use netkernel::{Address, Cookie, Kernel, MemoryNetwork, Net, NodeId, Noise};
use serde::{Deserialize, Serialize};

mod old {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(crate) struct Get {
        pub(crate) key: String,
    }

    impl Request for Get {
        type Reply = Option<String>;
    }

    impl Wire for Get {
        const TAG: &'static str = "get";
    }

    pub(crate) struct Store;

    impl GenServer for Store {}

    impl HandleCall<Get> for Store {
        async fn call(&mut self, _: Get, reply: ReplyTo<Option<String>>, _cx: &mut Cx<Self>) -> Outcome {
            reply.send(None)
        }
    }
}

/// Version 2 has a default, and so always an answer.
#[derive(Serialize, Deserialize)]
struct Get {
    key: String,
    default: String,
}

impl Request for Get {
    type Reply = String;
}

impl Wire for Get {
    const TAG: &'static str = "get";
    const VERSION: u16 = 2;
}

/// Version 1, kept for as long as any node may send it.
#[derive(Serialize, Deserialize)]
struct GetV1 {
    key: String,
}

/// What callers of version 1 expect: nothing instead of the default.
#[derive(Serialize)]
struct ReplyV1(Option<String>);

impl Request for GetV1 {
    type Reply = ReplyV1;
}

impl Wire for GetV1 {
    const TAG: &'static str = "get";
}

impl From<GetV1> for Get {
    fn from(GetV1 { key }: GetV1) -> Self {
        Self { key, default: String::new() }
    }
}

impl From<String> for ReplyV1 {
    fn from(value: String) -> Self {
        Self(Some(value).filter(|value| !value.is_empty()))
    }
}

struct Store(BTreeMap<String, String>);

impl GenServer for Store {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Get>().upgrade::<GetV1, Get>();
    }
}

impl HandleCall<Get> for Store {
    async fn call(&mut self, get: Get, reply: ReplyTo<String>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(self.0.get(&get.key).cloned().unwrap_or(get.default))
    }
}

async fn node(network: &MemoryNetwork, id: &str, cookie: &Cookie) -> (Kernel, System) {
    let config = netkernel::Config::builder(NodeId::new(id).expect("a good id"), Noise::new(cookie))
        .transport(network.host(id))
        .listen(Address::new(id, 0).expect("a good address"))
        .build()
        .expect("the defaults work");
    let kernel = Kernel::bind(config).await.expect("a free port");
    let system = System::new(Arc::new(kernel.clone()), Config::default());
    kernel.serve(system.dispatch());
    (kernel, system)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (network, cookie) = (MemoryNetwork::new(), Cookie::generate()?);
    let (new, stores) = node(&network, "new", &cookie).await;
    let (old, clients) = node(&network, "old", &cookie).await;
    let capitals = BTreeMap::from([("Peru".to_owned(), "Lima".to_owned())]);
    stores.spawn("store", Store(capitals)).await?;
    old.connect(&new.local().id, &new.local().address);

    let store = clients.addr::<old::Store>(&new.local().id, "store");
    for country in ["Peru", "Atlantis"] {
        println!("version 1 asks for {country}: {:?}", store.call(old::Get { key: country.into() }).await?);
    }
    let store = clients.addr::<Store>(&new.local().id, "store");
    let get = Get { key: "Atlantis".into(), default: "nobody knows".into() };
    println!("version 2 asks for Atlantis: {:?}", store.call(get).await?);
    Ok(())
}
