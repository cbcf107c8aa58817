//! An echo server, called as a server of this node and as one that may be anywhere.

use genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, System, Wire};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Say(String);

impl Request for Say {
    type Reply = String;
}

impl Wire for Say {
    const TAG: &'static str = "say";
}

struct Echo;

impl GenServer for Echo {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Say>();
    }
}

impl HandleCall<Say> for Echo {
    async fn call(&mut self, Say(text): Say, reply: ReplyTo<String>, _cx: &mut Cx<Self>) -> Outcome {
        reply.send(text)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::local();
    let echo = system.spawn("echo", Echo).await?;
    println!("{}", echo.call(Say("hello".into())).await?);
    println!("{}", system.addr::<Echo>(system.node(), "echo").call(Say("hello again".into())).await?);
    Ok(())
}
