//! Commands that need no node.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use clusterluck::netkernel::Cookie;
use serde_json::json;

use crate::support::{Place, in_time};

#[tokio::test]
async fn a_new_cookie_is_the_owners_alone_and_never_overwritten() {
    let place = Place::new();
    let path = place.path().join("deep").join("new");
    let shown = path.display().to_string();
    let made = place.run(&["cookie", "new", &shown]).await;
    assert_eq!(made.document(), json!({"ok": true, "data": {"path": shown}}));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    Cookie::read_file(&path).unwrap();
    let again = place.run(&["cookie", "new", &shown]).await;
    assert!(again.failure().contains("never overwritten"), "{again:?}");
    let named = place.path().join("named").display().to_string();
    let made = place.run(&["--cookie-file", &named, "cookie", "new"]).await;
    assert_eq!(made.document(), json!({"ok": true, "data": {"path": named}}));
    let own = place.run(&["--text", "cookie", "new"]).await;
    assert!(own.success && own.out.contains("config/clusterluck/cookie"), "{own:?}");
}

#[tokio::test]
async fn shells_and_manuals_are_served() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.run(&["completions", shell]).await;
        assert!(script.success && script.out.contains("mremove"), "{shell}");
    }
    let page = place.run(&["man"]).await;
    assert!(page.success && page.out.contains(".TH clusterluck"), "{page:?}");
    assert!(place.run(&["help", "insert"]).await.out.contains("--weight"));
    assert!(place.run(&["--version"]).await.out.starts_with("clusterluck "));
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    for arguments in
        [vec!["completions", "bash"], vec!["--help"], vec!["man"], vec!["--json", "cookie", "new"]]
    {
        let mut child =
            place.binary().args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = in_time(child.wait_with_output()).await.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}
