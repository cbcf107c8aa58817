//! Messages that change while nodes of both programs run: versions, upgrades, appended variants.

mod common;

use common::network::on_each_network;
use genserver::{
    Addr, CallError, CastFailure, Config, Cx, GenServer, HandleCall, HandleCast, Outcome, ReplyTo, Request,
    Routes, StartError, System, Wire,
};
use serde::{Deserialize, Serialize};

/// The program as it was.
mod old {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Get {
        pub(crate) key: u64,
    }

    impl Request for Get {
        type Reply = Option<u64>;
    }

    impl Wire for Get {
        const TAG: &'static str = "get";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Put {
        pub(crate) key: u64,
    }

    impl Wire for Put {
        const TAG: &'static str = "put";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Order {
        Left,
        Right(u64),
    }

    impl Request for Order {
        type Reply = String;
    }

    impl Wire for Order {
        const TAG: &'static str = "order";
    }

    #[derive(Default)]
    pub(crate) struct Store(u64);

    impl GenServer for Store {
        fn routes(routes: &mut Routes<Self>) {
            routes.call::<Get>().cast::<Put>().call::<Order>();
        }
    }

    impl HandleCall<Get> for Store {
        async fn call(&mut self, get: Get, reply: ReplyTo<Option<u64>>, _cx: &mut Cx<Self>) -> Outcome {
            reply.send((get.key == self.0).then_some(self.0))
        }
    }

    impl HandleCast<Put> for Store {
        async fn cast(&mut self, put: Put, _cx: &mut Cx<Self>) -> Outcome {
            self.0 = put.key;
            Outcome::Continue
        }
    }

    impl HandleCall<Order> for Store {
        async fn call(&mut self, order: Order, reply: ReplyTo<String>, _cx: &mut Cx<Self>) -> Outcome {
            reply.send(format!("{order:?}"))
        }
    }
}

/// Version 2: what is put has a value, and what is not there has a default.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Get {
    key: u64,
    default: u64,
}

impl Request for Get {
    type Reply = u64;
}

impl Wire for Get {
    const TAG: &'static str = "get";
    const VERSION: u16 = 2;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Put {
    key: u64,
    value: u64,
}

impl Wire for Put {
    const TAG: &'static str = "put";
    const VERSION: u16 = 2;
}

/// Appended to, so still version 1.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Order {
    Left,
    Right(u64),
    Turn { degrees: u64 },
}

impl Request for Order {
    type Reply = String;
}

impl Wire for Order {
    const TAG: &'static str = "order";
}

#[derive(Serialize, Deserialize)]
struct GetV1 {
    key: u64,
}

/// Nothing instead of the default.
#[derive(Serialize)]
struct ReplyV1(Option<u64>);

impl Request for GetV1 {
    type Reply = ReplyV1;
}

impl Wire for GetV1 {
    const TAG: &'static str = "get";
}

impl From<GetV1> for Get {
    fn from(GetV1 { key }: GetV1) -> Self {
        Self { key, default: u64::MAX }
    }
}

impl From<u64> for ReplyV1 {
    fn from(value: u64) -> Self {
        Self((value != u64::MAX).then_some(value))
    }
}

#[derive(Serialize, Deserialize)]
struct PutV1 {
    key: u64,
}

impl Wire for PutV1 {
    const TAG: &'static str = "put";
}

impl From<PutV1> for Put {
    fn from(PutV1 { key }: PutV1) -> Self {
        Self { key, value: key }
    }
}

#[derive(Default)]
struct Store(Option<(u64, u64)>);

impl GenServer for Store {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Get>().upgrade::<GetV1, Get>();
        routes.cast::<Put>().upgrade_cast::<PutV1, Put>();
        routes.call::<Order>();
    }
}

impl HandleCall<Get> for Store {
    async fn call(&mut self, get: Get, reply: ReplyTo<u64>, _cx: &mut Cx<Self>) -> Outcome {
        let found = self.0.filter(|(key, _)| *key == get.key);
        reply.send(found.map_or(get.default, |(_, value)| value))
    }
}

impl HandleCast<Put> for Store {
    async fn cast(&mut self, put: Put, _cx: &mut Cx<Self>) -> Outcome {
        self.0 = Some((put.key, put.value));
        Outcome::Continue
    }
}

impl HandleCall<Order> for Store {
    async fn call(&mut self, order: Order, reply: ReplyTo<String>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(format!("{order:?}"))
    }
}

#[test]
fn a_server_of_version_two_understands_both_programs() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        b.system.spawn("store", Store::default()).await.unwrap();
        let before: Addr<old::Store> = a.system.addr(&b.id(), "store");
        let now: Addr<Store> = a.system.addr(&b.id(), "store");
        assert_eq!(before.call(old::Get { key: 7 }).await, Ok(None));
        before.cast(old::Put { key: 7 }).await.unwrap();
        assert_eq!(before.call(old::Get { key: 7 }).await, Ok(Some(7)));
        now.cast(Put { key: 8, value: 80 }).await.unwrap();
        assert_eq!(now.call(Get { key: 8, default: 1 }).await, Ok(80));
        assert_eq!(now.call(Get { key: 9, default: 1 }).await, Ok(1));
        assert_eq!(before.call(old::Get { key: 8 }).await, Ok(Some(80)));
    });
}

#[test]
fn a_server_of_version_one_says_that_it_does_not_know_version_two() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        for node in [&a, &b] {
            node.system.spawn("store", old::Store::default()).await.unwrap();
            let store: Addr<Store> = a.system.addr(&node.id(), "store");
            let unsupported = CallError::Unsupported { tag: "get".into(), version: 2 };
            assert_eq!(store.call(Get { key: 7, default: 1 }).await, Err(unsupported), "{store}");
            // The session, and the server, are as they were.
            let before: Addr<old::Store> = a.system.addr(&node.id(), "store");
            assert_eq!(before.call(old::Get { key: 0 }).await, Ok(Some(0)), "{before}");
        }
    });
}

#[test]
fn variants_are_appended_without_a_new_version() {
    on_each_network(|network| async move {
        let (a, b) = network.pair().await;
        b.system.spawn("new", Store::default()).await.unwrap();
        b.system.spawn("old", old::Store::default()).await.unwrap();
        let to_new: Addr<old::Store> = a.system.addr(&b.id(), "new");
        assert_eq!(to_new.call(old::Order::Right(3)).await, Ok("Right(3)".into()));
        let to_old: Addr<Store> = a.system.addr(&b.id(), "old");
        assert_eq!(to_old.call(Order::Left).await, Ok("Left".into()));
        let unknown = to_old.call(Order::Turn { degrees: 90 }).await;
        assert_eq!(unknown, Err(CallError::Decode { tag: "order".into(), version: 1 }));
        assert_eq!(to_old.call(Order::Right(1)).await, Ok("Right(1)".into()));
    });
}

/// Two messages of one tag and version; a tag that is empty, and one that is too long.
struct Confused<const CASE: usize>;

macro_rules! tagged {
    ($($name:ident = $tag:expr),+) => {
        $(#[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct $name;

        impl Wire for $name {
            const TAG: &'static str = $tag;
        }

        impl<const CASE: usize> HandleCast<$name> for Confused<CASE> {
            async fn cast(&mut self, _: $name, _cx: &mut Cx<Self>) -> Outcome {
                Outcome::Continue
            }
        })+
    };
}

tagged!(One = "same", Other = "same", Empty = "", Long = LONG);

const LONG: &str = "a tag of more than sixty-four bytes, which would travel with each message";

impl<const CASE: usize> GenServer for Confused<CASE> {
    fn routes(routes: &mut Routes<Self>) {
        match CASE {
            0 => routes.cast::<One>().cast::<Other>(),
            1 => routes.cast::<Empty>(),
            _ => routes.cast::<Long>(),
        };
    }
}

#[tokio::test(start_paused = true)]
async fn routes_that_cannot_be_told_apart_do_not_start() {
    let system = System::local_with(Config::default());
    let faults = [
        system.spawn_unnamed(Confused::<0>).await.unwrap_err(),
        system.spawn_unnamed(Confused::<1>).await.unwrap_err(),
        system.spawn_unnamed(Confused::<2>).await.unwrap_err(),
    ];
    for (fault, wanted) in faults.iter().zip(["same", "", LONG]) {
        assert!(matches!(fault, StartError::Route { tag, version: 1 } if *tag == wanted), "{fault}");
    }
}

/// Handles what it does not list.
struct Unlisted;

impl GenServer for Unlisted {}

impl HandleCast<Put> for Unlisted {
    async fn cast(&mut self, _: Put, _cx: &mut Cx<Self>) -> Outcome {
        Outcome::Continue
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_listed_comes_back_even_to_a_sender_on_the_same_node() {
    let system = System::local();
    let here = system.spawn("unlisted", Unlisted).await.unwrap();
    let error = here.addr().cast(Put { key: 1, value: 2 }).await.unwrap_err();
    assert_eq!(*error.reason(), CastFailure::Unsupported { tag: "put", version: 2 });
    assert_eq!(error.to_string(), "the server does not take `put` version 2: it has no route for it");
    assert_eq!(error.into_message(), Put { key: 1, value: 2 });
    // Its local address takes any message it handles.
    here.cast(Put { key: 1, value: 2 }).await.unwrap();
}
