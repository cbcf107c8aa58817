//! The server every stock node runs: says back what it hears, and which node it is.

use clusterluck::genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, Wire};
use serde::{Deserialize, Serialize};

/// Its name on every node.
pub(crate) const NAME: &str = "echo";

/// Answers each [`Say`] with what it says.
pub(crate) struct Echo {
    node: String,
    heard: u64,
}

/// Something to say back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Say {
    pub(crate) text: String,
}

/// What was said back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Heard {
    /// The same text.
    pub(crate) text: String,
    /// The id of the node that heard it.
    pub(crate) node: String,
    /// How many it had heard by then, this one included.
    pub(crate) nth: u64,
}

impl Request for Say {
    type Reply = Heard;
}

impl Wire for Say {
    const TAG: &'static str = "say";
}

impl Echo {
    /// The server of this node.
    pub(crate) fn new(node: impl Into<String>) -> Self {
        Self { node: node.into(), heard: 0 }
    }
}

impl GenServer for Echo {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Say>();
    }
}

impl HandleCall<Say> for Echo {
    async fn call(&mut self, say: Say, reply: ReplyTo<Heard>, _cx: &mut Cx<Self>) -> Outcome {
        self.heard += 1;
        reply.send(Heard { text: say.text, node: self.node.clone(), nth: self.heard })
    }
}
