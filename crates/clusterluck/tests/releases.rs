//! Command lines and nodes of other releases: each understands what both know, and says what it does not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clusterluck::Cluster;
use clusterluck::control::{Client, ClientError, Failure, Follow, NodeInfo, Nodes, Ping};
use clusterluck::netkernel::{
    Config, Cookie, Dispatch, Kernel, MemoryNetwork, Net, NodeId, Noise, Peer, Refusal, Responder, Role,
    ServerName,
};
use serde::Serialize;

const SECOND: Duration = Duration::from_secs(1);

fn cookie() -> Cookie {
    "0".repeat(64).parse().unwrap()
}

/// A struct of another release, as it travels: its fields with their length before them.
fn of_fields(fields: &impl Serialize) -> Vec<u8> {
    sized(&postcard::to_allocvec(fields).unwrap())
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    postcard::to_allocvec(bytes).unwrap()
}

/// A node of another release: whatever it is asked, it gives this answer.
struct OtherRelease(Vec<u8>);

impl Dispatch for OtherRelease {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        Err(Refusal::NoProc)
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes, responder: Responder) {
        responder.reply(self.0.clone().into());
    }
}

async fn kernel(network: &MemoryNetwork, name: &str, role: Role, dispatch: OtherRelease) -> Kernel {
    let config = Config::builder(NodeId::new(name).unwrap(), Noise::new(&cookie())).role(role);
    let config = config.transport(network.host(name)).listen(format!("{name}:7").parse().unwrap());
    let kernel = Kernel::bind(config.build().unwrap()).await.unwrap();
    kernel.serve(Arc::new(dispatch));
    kernel
}

/// What a command line of this release hears from a node that answers `answer`.
async fn asked_of(answer: Vec<u8>) -> (Kernel, Client) {
    let network = MemoryNetwork::new();
    let node = kernel(&network, "other", Role::Node, OtherRelease(answer)).await;
    let operator = network.host("operator");
    let address = node.local().address;
    let client = Client::connect_over(operator, &address, None, &cookie(), SECOND).await.unwrap();
    (node, client)
}

/// What a node of this release answers to these bytes.
async fn answered_to(request: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let network = MemoryNetwork::new();
    let node = Cluster::builder("n").cookie(cookie()).transport(network.host("n")).listen("n:7");
    let node = node.start().await.unwrap();
    let operator = kernel(&network, "operator", Role::Control, OtherRelease(Vec::new())).await;
    operator.dial(&node.address(), None, SECOND).await.unwrap();
    let control = ServerName::system("control").unwrap();
    let reply = operator.call(&node.id(), &control, request.into(), SECOND).await.unwrap();
    postcard::from_bytes(&reply).unwrap()
}

fn request(version: u16, command: &str, arguments: Vec<u8>) -> Vec<u8> {
    postcard::to_allocvec(&(version, command, arguments)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn more_fields_in_the_elements_of_a_list_are_passed_over() {
    let newer = |id: &str| of_fields(&(id, "h", 7_u16, Some("a zone"), 0.5_f64));
    let list = [vec![2], newer("a"), newer("b")].concat();
    let (_node, client) = asked_of([vec![0], sized(&list)].concat()).await;
    let place = |id: &str| NodeInfo { id: id.into(), host: "h".into(), port: 7 };
    assert_eq!(client.run(&Nodes {}).await.unwrap(), [place("a"), place("b")]);
}

#[tokio::test(start_paused = true)]
async fn fields_that_an_older_node_does_not_send_are_empty() {
    let older = |id: &str| of_fields(&(id, "h"));
    let list = [vec![2], older("a"), older("b")].concat();
    let (_node, client) = asked_of([vec![0], sized(&list)].concat()).await;
    let place = |id: &str| NodeInfo { id: id.into(), host: "h".into(), port: 0 };
    assert_eq!(client.run(&Nodes {}).await.unwrap(), [place("a"), place("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_a_kind_unknown_here_keeps_its_words() {
    let told = of_fields(&("the node is on holiday", vec![200_u8, 1]));
    let (_node, client) = asked_of([vec![1], told].concat()).await;
    let ClientError::Failure(failure) = client.run(&Ping {}).await.unwrap_err() else { panic!() };
    assert_eq!(failure, Failure::Failed { reason: "the node is on holiday".into() });
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_is_said_to_be_none() {
    for answer in [vec![], vec![0], vec![7, 7], vec![0, 1, 9]] {
        let (_node, client) = asked_of(answer).await;
        let error = client.run(&Nodes {}).await.unwrap_err();
        assert!(matches!(error, ClientError::Answer { .. }), "{error:?}");
        assert!(error.to_string().contains("differ in version"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_the_node_lacks_is_answered_with_those_it_knows() {
    let failure = answered_to(request(1, "transmogrify", Vec::new())).await.unwrap_err();
    let Failure::UnknownCommand { command, known, .. } = failure else { panic!("{failure:?}") };
    assert_eq!(command, "transmogrify");
    assert!(known.contains(&"inspect".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_is_newer_than_the_node_is_named() {
    // What follows the version is of a shape unknown here.
    let failure = answered_to(vec![9, 0xff, 0xff]).await.unwrap_err();
    assert!(matches!(failure, Failure::NewerProtocol { version: 9, newest: 1, .. }), "{failure:?}");
    assert!(failure.to_string().contains("speaks version 1 of the control protocol, not version 9"));
}

#[tokio::test(start_paused = true)]
async fn arguments_of_an_older_and_of_a_newer_command_line_are_understood() {
    // `Follow` without its `wait_ms`, then with more than it has.
    for arguments in [of_fields(&0_u64), of_fields(&(0_u64, 0_u64, "more"))] {
        let answer = answered_to(request(1, "follow", arguments)).await.unwrap();
        assert!(!answer.is_empty());
    }
    let ours = postcard::to_allocvec(&Follow { seen: 0, wait_ms: 0 }).unwrap();
    assert_eq!(ours, of_fields(&(0_u64, 0_u64)));
}

#[tokio::test(start_paused = true)]
async fn arguments_that_are_none_are_refused() {
    for arguments in [vec![], vec![5, 1], vec![0xff; 11]] {
        let failure = answered_to(request(1, "get", arguments)).await.unwrap_err();
        assert_eq!(failure, Failure::Malformed { command: "get".into() });
    }
}
