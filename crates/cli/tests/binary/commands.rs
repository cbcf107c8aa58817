//! What each command answers, as programs and as people see it.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::Place;

#[tokio::test]
async fn questions_are_answered_in_the_shape_of_the_original() {
    let place = Place::new();
    let node = place.node("n1", &["--weight", "7", "--ring", "r"]).await;
    let own = json!({"id": "n1", "host": "127.0.0.1", "port": node.port.parse::<u16>().unwrap()});

    assert_eq!(node.data(&["ping"]).await, "pong");
    assert_eq!(node.data(&["nodes"]).await, json!([own]));
    assert_eq!(node.data(&["get", "n1"]).await, own);
    assert_eq!(node.data(&["has", "n1"]).await, true);
    assert_eq!(node.data(&["has", "n2"]).await, false);
    assert_eq!(node.data(&["weight", "n1"]).await, 7);
    assert_eq!(node.data(&["weights"]).await, json!({"n1": 7}));
    for command in ["get", "weight"] {
        let run = node.run(&[command, "n2"]).await;
        assert_eq!(run.failure(), "'n2' is not defined in this ring.");
        assert_eq!(run.document()["error"]["advice"], "`clusterluck nodes` lists the nodes it knows");
    }

    let ring = node.data(&["inspect"]).await;
    let keys: Vec<&str> = ring.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["rfactor", "pfactor", "tree", "ring", "fingerprint", "members"]);
    let member = &ring["members"][0];
    assert_eq!(
        (&member["id"], &member["liveness"], &member["ownership"]),
        (&json!("n1"), &json!("alive"), &json!(1.0))
    );
    assert_eq!((&ring["rfactor"], &ring["pfactor"]), (&json!(160), &json!(2)));
    let tree = ring["tree"].as_array().unwrap();
    assert!(tree.iter().all(|entry| entry["value"] == own && entry.as_object().unwrap().len() == 2));
    let points: Vec<u64> = tree.iter().map(|entry| point(&entry["key"])).collect();
    assert_eq!(points.len(), 7);
    assert!(points.is_sorted(), "{points:?}");
}

#[tokio::test]
async fn changes_are_made_and_say_so() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;

    node.change(&["insert", "a", "192.0.2.1", "1"]).await;
    node.change(&["insert", "--force", "b", "192.0.2.2", "2", "-w", "3"]).await;
    node.change(&["minsert", "-f", "--weight", "0", "c", "192.0.2.3", "3", "d", "192.0.2.4", "4"]).await;
    assert_eq!(node.data(&["get", "d"]).await, json!({"id": "d", "host": "192.0.2.4", "port": 4}));
    assert_eq!(node.data(&["weights"]).await, json!({"a": 160, "b": 3, "c": 0, "d": 0, "n1": 160}));
    // Nobody was heard from at these addresses, which are set aside for documentation.
    let members = node.data(&["members"]).await;
    assert_eq!(
        (&members[0]["id"], &members[0]["status"], &members[0]["liveness"]),
        (&json!("a"), &json!("joining"), &json!("unknown"))
    );
    assert_eq!(node.data(&["inspect"]).await["members"][0]["liveness"], "unknown");

    node.change(&["update", "a", "192.0.2.1", "1", "5"]).await;
    node.change(&["update", "b", "192.0.2.2", "2"]).await;
    node.change(&["update", "-f", "c", "-w", "9"]).await;
    assert_eq!(node.data(&["weights"]).await, json!({"a": 5, "b": 160, "c": 9, "d": 0, "n1": 160}));

    node.change(&["remove", "a", "192.0.2.1", "1"]).await;
    node.change(&["mremove", "b", "192.0.2.2", "2", "n1", "127.0.0.1", &node.port]).await;
    node.change(&["mremove", "-f", "c", "d"]).await;
    assert_eq!(node.data(&["weights"]).await, json!({"n1": 160}));

    node.change(&["leave"]).await;
    assert_eq!(node.data(&["nodes"]).await, json!([]));
    assert_eq!(node.data(&["has", "n1"]).await, false);
    node.change(&["join", "other"]).await;
    assert_eq!(node.data(&["info"]).await["ring"], "other");
}

#[tokio::test]
async fn nodes_that_meet_know_each_other() {
    let place = Place::new();
    let (one, two) = (place.node("n1", &[]).await, place.node("n2", &["--zone", "z", "--tag", "k=v"]).await);
    one.change(&["meet", "n2", "127.0.0.1", &two.port, "--wait"]).await;
    let members = one.data(&["members"]).await;
    let [first, second] = members.as_array().unwrap().as_slice() else { panic!("{members}") };
    assert_eq!((&first["id"], &first["connected"]), (&json!("n1"), &json!(true)));
    assert_eq!((&second["id"], &second["status"]), (&json!("n2"), &json!("member")));
    assert_eq!((&second["zone"], &second["tags"]), (&json!("z"), &json!({"k": "v"})));

    let holders = one.data(&["owner", "user:42", "-n", "2"]).await;
    assert_eq!(holders.as_array().unwrap().len(), 2);
    assert_eq!(two.data(&["owner", "user:42"]).await, json!([holders[0]]));
    two.change(&["leave"]).await;
    assert_eq!(one.data(&["has", "n2"]).await, false);
    two.change(&["join", "clusterluck", "--wait"]).await;
    assert_eq!(one.data(&["has", "n2"]).await, true);
    one.change(&["leave"]).await;
    two.change(&["leave", "--force"]).await;
}

#[tokio::test]
async fn a_node_tells_of_itself_and_its_servers() {
    let place = Place::new();
    let node = place.node("n1", &[]).await;
    let info = node.data(&["info"]).await;
    assert_eq!(
        (&info["id"], &info["ring"], &info["members"]),
        (&json!("n1"), &json!("clusterluck"), &json!(1))
    );
    let servers = node.data(&["servers"]).await;
    assert_eq!(servers[0]["name"], "echo", "{servers}");
}

#[tokio::test]
async fn people_get_tables_that_fit_the_terminal() {
    let place = Place::new();
    let node = place.node("n1", &["--tag", "role=test"]).await;
    node.change(&["insert", &"long".repeat(20), "192.0.2.1", "65535"]).await;
    let ring = node.run(&["--text", "inspect"]).await;
    assert!(ring.success && ring.out.contains("160 points") && ring.out.contains('█'), "{ring:?}");
    assert!(ring.out.lines().skip(1).all(|line| line.chars().count() <= 80), "{ring:?}");
    for (command, expected) in [
        (vec!["nodes"], "192.0.2.1:65535"),
        (vec!["get", "n1"], "n1 at 127.0.0.1"),
        (vec!["has", "n1"], "yes"),
        (vec!["has", "x"], "no"),
        (vec!["weight", "n1"], "160"),
        (vec!["weights"], "160"),
        (vec!["ping"], "pong from `n1`"),
        (vec!["members"], "role=test"),
        (vec!["owner", "user:42"], "owner"),
        (vec!["servers"], "echo"),
        (vec!["info"], "ring `clusterluck` of 2 members"),
        (vec!["inspect", "--points"], "n1"),
        (vec!["update", "n1", "-w", "8"], "n1 has weight 8"),
        (vec!["insert", "x", "192.0.2.2", "1"], "inserted x"),
        (vec!["remove", "x"], "removed x"),
        (vec!["leave"], "n1 is in no ring now"),
        (vec!["inspect"], "clusterluck join <ring>"),
        (vec!["join", "r"], "n1 is in ring `r`"),
    ] {
        let arguments: Vec<&str> = ["--text"].into_iter().chain(command.iter().copied()).collect();
        let run = node.run(&arguments).await;
        assert!(run.success && run.out.contains(expected) && run.err.is_empty(), "{command:?}: {run:?}");
        assert!(!run.out.contains('\u{1b}'), "styles in a pipe: {run:?}");
    }
}

fn point(key: &Value) -> u64 {
    let bytes = base64::engine::general_purpose::STANDARD.decode(key.as_str().unwrap()).unwrap();
    u64::from_be_bytes(bytes.try_into().unwrap())
}
