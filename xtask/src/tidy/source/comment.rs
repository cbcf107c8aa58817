//! Comments, one entry a line.

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) line: usize,
    /// The line as written, its `//` or `/*` included, without surrounding space.
    pub(crate) text: String,
}

impl Comment {
    /// The text a reader of the documentation sees, if this line is documentation.
    pub(crate) fn documentation(&self) -> Option<&str> {
        let text = self.text.strip_prefix("///").or_else(|| self.text.strip_prefix("//!"))?;
        // Four slashes make an ordinary comment again.
        (!text.starts_with('/')).then_some(text)
    }
}

/// Reads a stretch of source that holds nothing but space and comments. `line` is its first line's number.
pub(super) fn read(gap: &str, mut line: usize, comments: &mut Vec<Comment>) {
    let mut rest = gap;
    while let Some(start) = rest.find('/') {
        line += newlines(&rest[..start]);
        let comment = &rest[start..];
        let length = if comment.starts_with("/*") {
            block_length(comment)
        } else {
            comment.find('\n').unwrap_or(comment.len())
        };
        for (below, text) in comment[..length].lines().enumerate() {
            comments.push(Comment { line: line + below, text: text.trim().to_owned() });
        }
        line += newlines(&comment[..length]);
        rest = &comment[length..];
    }
}

fn newlines(text: &str) -> usize {
    text.matches('\n').count()
}

/// Block comments nest in Rust.
fn block_length(comment: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < comment.len() {
        let rest = &comment.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    comment.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(gap: &str) -> Vec<(usize, String)> {
        let mut comments = Vec::new();
        read(gap, 10, &mut comments);
        comments.into_iter().map(|comment| (comment.line, comment.text)).collect()
    }

    #[test]
    fn nested_blocks_end_once() {
        assert_eq!(
            lines("/* a /* b */\nc */ // d"),
            [(10, "/* a /* b */".to_owned()), (11, "c */".to_owned()), (11, "// d".to_owned())]
        );
    }

    #[test]
    fn documentation_is_told_from_rulers() {
        let documentation =
            |text: &str| Comment { line: 1, text: text.to_owned() }.documentation().map(str::to_owned);
        assert_eq!(documentation("/// a"), Some(" a".to_owned()));
        assert_eq!(documentation("//! a"), Some(" a".to_owned()));
        assert_eq!(documentation("//// a"), None);
        assert_eq!(documentation("// a"), None);
    }
}
