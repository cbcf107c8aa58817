//! Two nodes meet, and a gen_server on one is called from the other.

use clusterluck::genserver::{Cx, GenServer, HandleCall, Outcome, ReplyTo, Request, Routes, Wire};
use clusterluck::{Cluster, netkernel::Cookie};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Hello(String);

impl Request for Hello {
    type Reply = String;
}

impl Wire for Hello {
    const TAG: &'static str = "hello";
}

struct Greeter {
    greeted: u64,
}

impl GenServer for Greeter {
    fn routes(routes: &mut Routes<Self>) {
        routes.call::<Hello>();
    }
}

impl HandleCall<Hello> for Greeter {
    async fn call(&mut self, Hello(name): Hello, reply: ReplyTo<String>, _cx: &mut Cx<Self>) -> Outcome {
        self.greeted += 1;
        reply.send(format!("hello {name}, you are number {}", self.greeted))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cookie = Cookie::generate()?;
    let one = Cluster::builder("one").cookie(cookie.clone()).start().await?;
    let two = Cluster::builder("two").cookie(cookie).start().await?;
    two.meet(one.address().to_string()).await?;

    one.spawn("greeter", Greeter { greeted: 0 }).await?;
    let greeter = two.addr::<Greeter>(&one.id(), "greeter");
    println!("{}", greeter.call(Hello("Ada".into())).await?);
    Ok(())
}
