//! The server that every stock node runs, to be called from here.

use clusterluck::genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, Wire};
use serde::{Deserialize, Serialize};

/// It runs in nodes, and never in this process.
pub(crate) enum Echo {}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Say {
    pub(crate) text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) node: String,
    nth: u64,
}

impl Request for Say {
    type Reply = Heard;
}

impl Wire for Say {
    const TAG: &'static str = "say";
}

impl GenServer for Echo {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Say>();
    }
}

impl HandleCall<Say> for Echo {
    async fn call(&mut self, _: Say, _: ReplyTo<Heard>, _: &mut Cx<Self>) -> Outcome {
        match *self {}
    }
}
