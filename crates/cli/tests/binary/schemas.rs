//! Every document the tests see is checked against its schema.

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::support::{Place, Run};

/// Checks what a command has printed. Commands that only make a change share a schema.
pub(crate) fn assert_valid(command: &str, document: &Value) {
    let name = match command {
        "join" | "meet" | "leave" | "insert" | "minsert" | "update" | "remove" | "mremove" => "change",
        other => other,
    };
    let errors: Vec<String> = schema(name)
        .iter_errors(document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "`{command}` printed {document}, which breaks schemas/{name}.json: {errors:?}"
    );
}

fn schema(name: &str) -> Validator {
    let path = format!("{}/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
}

#[test]
fn every_schema_refuses_what_it_should() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas")).unwrap();
    for file in folder {
        let name = file.unwrap().file_name().into_string().unwrap();
        let schema = schema(name.strip_suffix(".json").expect("schemas are JSON"));
        for wrong in [
            json!({}),
            json!({"ok": true, "data": {"more": "x"}}),
            json!({"ok": true, "error": {}}),
            json!([]),
        ] {
            assert!(!schema.is_valid(&wrong), "{name} takes {wrong}");
        }
    }
}

#[tokio::test]
async fn every_answer_has_the_shape_that_is_promised() {
    let place = Place::new();
    let (one, two) = (place.node("n1", &[]).await, place.node("n2", &["--zone", "z", "--tag", "k=v"]).await);
    one.change(&["meet", "n2", "127.0.0.1", &two.port, "--wait"]).await;
    one.change(&["insert", "away", "192.0.2.1", "1"]).await;
    for command in [
        &["inspect"][..],
        &["nodes"],
        &["get", "n2"],
        &["has", "n2"],
        &["weight", "n2"],
        &["weights"],
        &["ping"],
        &["members"],
        &["owner", "user:42", "-n", "3"],
        &["servers"],
        &["info"],
        &["metrics"],
    ] {
        // `data` checks.
        assert!(!one.data(command).await.is_null(), "{command:?}");
    }
    let path = place.path().join("new").display().to_string();
    let made: Run = place.run(&["cookie", "new", &path]).await;
    assert_valid("cookie-new", &made.document());
}
