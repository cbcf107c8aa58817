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
    let raw: Vec<&str> = source.lines().collect();
    let lines: Vec<&str> = raw.iter().map(|line| line.trim()).collect();
    if lines.iter().any(|line| line.starts_with("#![cfg")) {
        return false;
    }
    let declares = |line: &&str| {
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        function.and_then(|rest| rest.strip_prefix(test)).is_some_and(|rest| rest.starts_with('('))
    };
    let Some(at) = lines.iter().position(declares) else { return false };
    if (0..at).any(|line| module_end(&raw, line).is_some_and(|end| at < end)) {
        return false;
    }
    let attributes: Vec<&str> =
        lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).copied().collect();
    let is_test = |line: &&str| *line == "#[test]" || line.starts_with("#[tokio::test");
    attributes.iter().any(is_test)
        && !attributes.iter().any(|line| line.starts_with("#[ignore") || line.starts_with("#[cfg"))
}

/// Where a module ends that has a condition on this line.
fn module_end(raw: &[&str], line: usize) -> Option<usize> {
    raw[line].trim().starts_with("#[cfg").then_some(())?;
    let head = (line..raw.len()).find(|&line| !raw[line].trim().starts_with("#["))?;
    let module = raw[head].trim_start().trim_start_matches("pub ");
    (module.starts_with("mod ") && module.ends_with('{')).then_some(())?;
    let indented = raw[head].len() - raw[head].trim_start().len();
    (head..raw.len()).find(|&line| raw[line].trim() == "}" && raw[line].len() == indented + 1)
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
        #[cfg(target_os = \"none\")]
        #[path = \"x.rs\"]
        mod other {
            #[test]
            fn in_a_module() {}
        }
        #[cfg(target_os = \"none\")]
        use x;
        #[test]
        fn plain() {}";
    let none = ["commented", "helper", "ignored", "elsewhere", "in_a_module", "awai"];
    assert_eq!(none.map(|test| runs(source, test)), [false; 6]);
    assert_eq!(["awaited", "plain"].map(|test| runs(source, test)), [true; 2]);
    let file = format!("#![cfg(target_os = \"none\")]\n{source}");
    assert!(!runs(&file, "plain"), "the whole file does not run");
}
