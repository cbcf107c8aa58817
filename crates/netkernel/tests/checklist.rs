//! Every test that `docs/checklist.md` names exists, and runs.

use std::path::Path;

#[test]
fn every_test_on_the_checklist_exists_and_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/checklist.md")).unwrap();
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        // The odd parts of a line are those between back-ticks.
        for test in line.split('`').skip(1).step_by(2).filter(|part| part.contains("::")) {
            let (file, test) = test.split_once("::").unwrap();
            let source = std::fs::read_to_string(root.join(format!("tests/{file}.rs"))).unwrap();
            assert!(runs(&source, test), "tests/{file}.rs has no test {test}, or ignores it");
            named += 1;
        }
    }
    assert!(named > 50, "only {named} tests were found on the page");
}

/// Whether a source has a test of this name: a function with the attribute of one and none that keeps it from running.
/// The project's sources are formatted, so that each attribute and the name have a line each.
fn runs(source: &str, test: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declares = |line: &&str| {
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        function.and_then(|rest| rest.strip_prefix(test)).is_some_and(|rest| rest.starts_with('('))
    };
    let Some(at) = lines.iter().position(declares) else { return false };
    let attributes: Vec<&str> =
        lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).copied().collect();
    let is_test = |line: &&str| *line == "#[test]" || line.starts_with("#[tokio::test");
    attributes.iter().any(is_test)
        && !attributes.iter().any(|line| line.starts_with("#[ignore") || line.starts_with("#[cfg"))
}

#[test]
fn a_name_in_a_comment_an_ignored_test_and_a_helper_are_none() {
    let source = "// fn commented() {}
        fn helper() {}
        #[test]
        #[ignore = \"slow\"]
        fn ignored() {}
        #[cfg(target_os = \"none\")]
        #[test]
        fn elsewhere() {}
        #[tokio::test(start_paused = true)]
        #[should_panic(expected = \"it\")]
        async fn awaited() {}
        #[test]
        fn plain() {}";
    let found = ["commented", "helper", "ignored", "elsewhere", "awaited", "plain", "awai"];
    assert_eq!(found.map(|test| runs(source, test)), [false, false, false, false, true, true, false]);
}
