//! Commands that need no node.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use clusterluck::netkernel::Cookie;
use serde_json::json;
use tokio::process::Command;

use crate::support::{Place, finished, in_time};

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
        assert!(script.out.contains("leave-on-exit") && !script.out.contains("stop-on-eof"), "{shell}");
    }
    let page = place.run(&["man"]).await;
    assert!(page.success && page.out.contains(".TH clusterluck"), "{page:?}");
    let page = place.run(&["man", "start"]).await.out.replace("\\-", "-");
    assert!(page.contains("leave-on-exit") && !page.contains("stop-on-eof"), "{page}");
    assert!(place.run(&["help", "insert"]).await.out.contains("--weight"));
    assert!(place.run(&["--version"]).await.out.starts_with("clusterluck "));
}

/// What bash offers where a line ends, having loaded the script of completions.
#[tokio::test]
async fn bash_completes_commands_flags_and_values() {
    let place = Place::new();
    let script = place.run(&["completions", "bash"]).await.out;
    let script = place.private_file("completions.bash", &script).display().to_string();
    for (line, offered) in [
        ("clusterluck ins", "insert inspect"),
        ("clusterluck -p 7023 weigh", "weight weights"),
        ("clusterluck start --li", "--listen"),
        ("clusterluck minsert --f", "--force"),
        ("clusterluck --output ", "json text"),
        ("clusterluck completions f", "fish"),
        ("clusterluck help memb", "members"),
        ("clusterluck cookie n", "new"),
    ] {
        let mut bash = Command::new("bash");
        bash.args(["--norc", "--noprofile", "-c", COMPLETE, &script, line]).stdin(Stdio::null());
        if let Err(error) = bash.output().await {
            eprintln!("NOT TESTED: completions need bash ({error})");
            return;
        }
        let run = finished(&mut bash).await;
        assert_eq!((run.out.trim_end(), run.err.as_str()), (offered, ""), "{line:?}");
    }
}

/// Bash calls the function that the script has told it of, with the words of the line up to the cursor.
const COMPLETE: &str = r#"source "$0"
read -ra COMP_WORDS <<<"$1"
case $1 in *' ') COMP_WORDS+=('');; esac
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
function=$(complete -p clusterluck | sed 's/.*-F \([^ ]*\).*/\1/')
"$function" clusterluck "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' '"#;

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
