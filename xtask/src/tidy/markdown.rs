//! The little of Markdown that the rules need: fences and links.

/// Follows code fences line by line.
#[derive(Debug, Default)]
pub(super) struct Fences {
    open: Option<(char, usize)>,
}

impl Fences {
    /// Takes the next line; the info string if it opens a fence.
    pub(super) fn opens<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let line = line.trim();
        let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
        let info = line.trim_start_matches(mark);
        let length = line.len() - info.len();
        match self.open {
            Some((open, at_least)) => {
                if mark == open && length >= at_least && info.trim().is_empty() {
                    self.open = None;
                }
                None
            }
            // Three backticks and another on the same line are code within a sentence.
            None if length >= 3 && !info.contains('`') => {
                self.open = Some((mark, length));
                Some(info.trim())
            }
            None => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

/// Link and image targets of a Markdown text with their lines: inline ones and reference definitions.
pub(super) fn links(text: &str) -> Vec<(usize, &str)> {
    let mut fences = Fences::default();
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let was_open = fences.is_open();
        if fences.opens(line).is_some() || was_open {
            continue;
        }
        found.extend(definition(line).into_iter().chain(inline(line)).map(|target| (at + 1, target)));
    }
    found
}

/// `[name]: target "title"`
fn definition(line: &str) -> Option<&str> {
    let (name, target) = line.trim_start().strip_prefix('[')?.split_once("]:")?;
    // `[^1]: …` is a footnote.
    (!name.starts_with('^')).then(|| target.split_whitespace().next()).flatten().map(unwrap)
}

/// `[text](target "title")`, outside `code`.
fn inline(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (at, letter) in line.char_indices() {
        match letter {
            '`' => in_code = !in_code,
            ']' if !in_code && line[at + 1..].starts_with('(') => {
                let inside = &line[at + 2..];
                let inside = &inside[..closing(inside)];
                found.extend(inside.split_whitespace().next().map(unwrap));
            }
            _ => {}
        }
    }
    found
}

/// Where the parenthesis opened before `text` closes.
fn closing(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' if depth == 0 => return at,
            ')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn unwrap(target: &str) -> &str {
    target.strip_prefix('<').and_then(|target| target.strip_suffix('>')).unwrap_or(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_close_only_with_their_own_mark() {
        let mut fences = Fences::default();
        let opened: Vec<_> = ["````md", "```rust", "```", "````", "```x", "```"]
            .iter()
            .map(|line| fences.opens(line))
            .collect();
        assert_eq!(opened, [Some("md"), None, None, None, Some("x"), None]);
        assert!(!fences.is_open());
    }

    #[test]
    fn links_of_every_kind_are_found() {
        let text = "[a](b.md#c) ![i](<i.png>) `[no](no.md)`\n[r]: ref.md \"title\"\n[^1]: note\n```\n[x](y)\n```\n\
                    [![badge](in.svg)](out.md) [f](g_(h).md)\n";
        assert_eq!(
            links(text),
            [(1, "b.md#c"), (1, "i.png"), (2, "ref.md"), (7, "in.svg"), (7, "out.md"), (7, "g_(h).md")]
        );
    }
}
