//! The guide under `docs/`: each page is in its summary and in its tests, and leads only to places that the book has.

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::markdown;
use crate::tidy::repo::{File, Repo};

pub(super) const RULE: Rule = Rule { name: "guide", check };

fn check(repo: &Repo, findings: &mut Findings) {
    let pages: Vec<&File> = repo.files().iter().filter(|file| page(file).is_some()).collect();
    let summary = repo.file(SUMMARY).map_or("", |file| &file.text);
    let entries: Vec<(usize, &str)> = markdown::links(summary);
    for (line, entry) in &entries {
        if pages.iter().filter_map(|file| page(file)).all(|name| name != *entry)
            && let Some(file) = repo.file(SUMMARY)
        {
            findings.error(file, *line, format!("there is no page `{entry}`: write it, or remove the entry"));
        }
    }
    let tests = repo.file(TESTS).map_or("", |file| &file.text);
    for file in &pages {
        let Some(name) = page(file) else { continue };
        if entries.iter().filter(|(_, entry)| *entry == name).count() != 1 {
            findings.error(file, 1, "the summary names this page never or twice: name it once in SUMMARY.md");
        }
        if !tests.contains(&format!("include_str!(\"../pages/{name}\")")) {
            findings.error(file, 1, format!("its Rust is not compiled: include the page in {TESTS}"));
        }
        check_links(file, &pages, findings);
        check_includes(repo, file, findings);
    }
}

/// A link of a page leads to another page, to one of its headings if it names one; the book has nothing else.
fn check_links(file: &File, pages: &[&File], findings: &mut Findings) {
    for (line, target) in markdown::links(&file.text) {
        if target.contains("://") {
            continue;
        }
        let (place, anchor) = target.split_once('#').unwrap_or((target, ""));
        let aimed = pages.iter().find(|other| match place {
            "" => other.path == file.path,
            place => page(other) == Some(place),
        });
        match aimed {
            None => findings.error(file, line, format!("`{target}` is no page, and a book has nothing else")),
            Some(other) if !anchor.is_empty() && !anchors(&other.text).any(|known| known == anchor) => {
                findings.error(file, line, format!("`{target}`: the page has no such heading"));
            }
            Some(_) => {}
        }
    }
}

/// A file that a page includes is there; mdBook only warns.
fn check_includes(repo: &Repo, file: &File, findings: &mut Findings) {
    for (at, line) in file.text.lines().enumerate() {
        let Some(included) = line.trim().strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}"))
        else {
            continue;
        };
        let there = included.strip_prefix("../").is_some_and(|path| repo.has(&format!("docs/{path}")));
        if !there {
            findings.error(file, at + 1, format!("`{included}` is included and not there"));
        }
    }
}

/// The name of a page, `servers.md` say; nothing for other files.
fn page(file: &File) -> Option<&str> {
    let name = file.path.strip_prefix(PAGES)?;
    (name.ends_with(".md") && file.path != SUMMARY).then_some(name)
}

/// The places in a page that a link can name: its headings as mdBook turns them into ids.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let mut fences = markdown::Fences::default();
    let headings = text.lines().filter(move |line| {
        let was_open = fences.is_open();
        fences.opens(line).is_none() && !was_open && line.starts_with('#')
    });
    headings.map(|heading| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    })
}

const PAGES: &str = "docs/pages/";
const SUMMARY: &str = "docs/pages/SUMMARY.md";
const TESTS: &str = "docs/src/lib.rs";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    const WHOLE: [(&str, &str); 4] = [
        (SUMMARY, "# Summary\n\n- [One](one.md)\n- [Two](two.md)\n"),
        (TESTS, "include_str!(\"../pages/one.md\") include_str!(\"../pages/two.md\")"),
        ("docs/pages/one.md", "# One\n\n[a](two.md#a-b-c) [b](#one) [c](https://example.org)\n"),
        ("docs/pages/two.md", "# Two\n\n## A: `b`, c?\n\n```text\n# No heading\n```\n"),
    ];

    fn with(path: &'static str, text: &'static str) -> Vec<String> {
        let mut files: Vec<_> = WHOLE.iter().copied().filter(|(known, _)| *known != path).collect();
        files.push((path, text));
        caught(&RULE, &Repo::made_of(&files))
    }

    #[test]
    fn a_whole_guide_passes() {
        assert!(caught(&RULE, &Repo::made_of(&WHOLE)).is_empty());
        let page = "# One\n\n```ini\n{{#include ../deploy/unit}}\n```\n";
        let mut files = WHOLE.to_vec();
        files[2].1 = page;
        files.push(("docs/deploy/unit", ""));
        assert!(caught(&RULE, &Repo::made_of(&files)).is_empty());
    }

    #[test]
    fn pages_and_the_summary_name_each_other_once() {
        assert_eq!(with(SUMMARY, "- [One](one.md)\n"), ["docs/pages/two.md:1"]);
        assert_eq!(with(SUMMARY, "- [1](one.md)\n- [1](one.md)\n- [2](two.md)\n"), ["docs/pages/one.md:1"]);
        assert_eq!(
            with(SUMMARY, "- [1](one.md)\n- [2](two.md)\n- [3](three.md)\n"),
            ["docs/pages/SUMMARY.md:3"]
        );
    }

    #[test]
    fn a_page_that_is_not_compiled_is_caught() {
        assert_eq!(with(TESTS, "include_str!(\"../pages/one.md\")"), ["docs/pages/two.md:1"]);
    }

    #[test]
    fn links_that_a_book_does_not_have_are_caught() {
        for link in ["two.md#d", "two.md#no-heading", "#two", "three.md", "../../README.md"] {
            let page = format!("# One\n[a]({link})\n");
            let mut files = WHOLE.to_vec();
            files[2].1 = &page;
            assert_eq!(caught(&RULE, &Repo::made_of(&files)), ["docs/pages/one.md:2"], "{link}");
        }
    }

    #[test]
    fn an_included_file_that_is_not_there_is_caught() {
        assert_eq!(
            with("docs/pages/one.md", "# One\n{{#include ../deploy/gone}}\n"),
            ["docs/pages/one.md:2"]
        );
    }
}
