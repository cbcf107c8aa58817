//! The program in the repository's README is the compiled example, to the letter.

#[test]
fn the_readme_shows_the_example_that_compiles() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    // A published package does not contain the repository's README.
    let Ok(readme) = std::fs::read_to_string(format!("{folder}/README.md")) else { return };
    let example = include_str!("../examples/greeter.rs");
    let (_title, program) = example.split_once("\n\n").expect("a title line, then the program");
    assert!(readme.contains(&format!("```rust\n{program}```")), "copy examples/greeter.rs into README.md");
}
