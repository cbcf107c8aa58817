//! What the command line says to nodes of other releases.

use std::sync::Arc;

use bytes::Bytes;
use clusterluck::netkernel::{
    Config, Cookie, Dispatch, Kernel, Net, NodeId, Noise, Peer, Refusal, Responder, ServerName,
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::{Place, in_time};

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

/// A node that answers nothing: whoever holds what it was to answer with has the node hang.
struct Hung(mpsc::Sender<Responder>);

impl Dispatch for Hung {
    fn cast(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes) -> Result<(), Refusal> {
        Err(Refusal::NoProc)
    }

    fn call(&self, _from: &Arc<Peer>, _server: &ServerName, _body: Bytes, responder: Responder) {
        self.0.try_send(responder).expect("one is asked at a time");
    }
}

async fn node_that_answers(place: &Place, answer: Vec<u8>) -> Kernel {
    node_of(place, OtherRelease(answer)).await
}

async fn node_of(place: &Place, dispatch: impl Dispatch) -> Kernel {
    let cookie = Cookie::read_file(place.cookie()).unwrap();
    let config = Config::builder(NodeId::new("other").unwrap(), Noise::new(&cookie));
    let config = config.listen("127.0.0.1:0".parse().unwrap()).build().unwrap();
    let kernel = Kernel::bind(config).await.unwrap();
    kernel.serve(Arc::new(dispatch));
    kernel
}

/// Text or bytes as they travel: their length, then they.
fn sized(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

#[tokio::test]
async fn an_older_node_says_which_commands_it_lacks() {
    let place = Place::new();
    let words = sized("this node (clusterluck 0.0.9) does not know the command `watch`; it knows: ping");
    let kind = sized([vec![0], sized("watch"), sized("0.0.9"), vec![1], sized("ping")].concat());
    let answer = [vec![1], sized([words, kind].concat())].concat();
    let node = node_that_answers(&place, answer).await;
    let port = node.local().address.port().to_string();
    let cookie = place.cookie().display().to_string();
    for command in ["servers", "members"] {
        let run = place.run(&["--text", "-p", &port, "--cookie-file", &cookie, command]).await;
        assert_eq!(
            run.error_line(),
            "this node (clusterluck 0.0.9) does not know the command `watch`; it knows: ping: use a command line of \
             the node's release"
        );
    }
    let run = place.run(&["--json", "-p", &port, "--cookie-file", &cookie, "members"]).await;
    assert_eq!(run.document()["error"]["advice"], "use a command line of the node's release");
}

#[tokio::test]
async fn a_node_that_hangs_or_breaks_off_is_said_to() {
    let place = Place::new();
    let (asked, mut hangs) = mpsc::channel(1);
    let node = node_of(&place, Hung(asked)).await;
    let port = node.local().address.port().to_string();
    let cookie = place.cookie().display().to_string();
    let line = ["--text", "-p", &port, "--cookie-file", &cookie];
    let run = place.run(&[&line[..], &["--timeout", "200ms", "ping"]].concat()).await;
    assert_eq!(
        run.error_line(),
        "`other` did not answer `ping` within 200ms: it is busy or cut off; give it longer with --timeout"
    );
    drop(hangs.recv().await);

    // It has heard of the change when it ends.
    let line = [&line[..], &["remove", "n1"]].concat();
    let ends = async {
        let unanswered = in_time(hangs.recv()).await;
        drop(node);
        unanswered
    };
    let (run, _unanswered) = tokio::join!(place.run(&line), ends);
    assert_eq!(
        run.error_line(),
        "the connection to `other` broke during `remove`, which may or may not have been carried out: look before you \
         repeat it"
    );
}

#[tokio::test]
async fn a_newer_node_is_understood_as_far_as_both_know() {
    let place = Place::new();
    let newer =
        |id: &str| sized([sized(id), sized("192.0.2.1"), vec![7], sized("of a later release")].concat());
    let answer = [vec![0], sized([vec![2], newer("a"), newer("b")].concat())].concat();
    let node = node_that_answers(&place, answer).await;
    let port = node.local().address.port().to_string();
    let cookie = place.cookie().display().to_string();
    let run = place.run(&["-p", &port, "--cookie-file", &cookie, "nodes"]).await;
    let known = |id: &str| json!({"id": id, "host": "192.0.2.1", "port": 7});
    assert_eq!(run.document()["data"], json!([known("a"), known("b")]));
    let run = place.run(&["--text", "-p", &port, "--cookie-file", &cookie, "members"]).await;
    // It has nothing of what a member is but its place.
    assert!(run.error_line().contains("differ in version"), "{run:?}");
}
