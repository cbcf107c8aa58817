//! Every test that `docs/checklist.md` names exists.

use std::path::Path;

#[test]
fn every_test_on_the_checklist_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/checklist.md")).unwrap();
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        // The odd parts of a line are those between back-ticks.
        for test in line.split('`').skip(1).step_by(2).filter(|part| part.contains("::")) {
            let (file, test) = test.split_once("::").unwrap();
            let source = std::fs::read_to_string(root.join(format!("tests/{file}.rs"))).unwrap();
            let exists = source.contains(&format!("fn {test}("));
            assert!(exists, "tests/{file}.rs has no test {test}");
            named += 1;
        }
    }
    assert!(named > 50, "only {named} tests were found on the page");
}
