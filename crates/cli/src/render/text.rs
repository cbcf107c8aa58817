//! Styles, and text from elsewhere made safe to show.

use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clusterluck::control::NodeInfo;
use clusterluck::netkernel::Address;
use unicode_width::UnicodeWidthStr;

/// What was asked for.
pub(crate) const STRONG: Style = Style::new().bold();
/// What is only there for orientation.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// As it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Not as it should be.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Worth a look.
pub(crate) const NOTE: Style = AnsiColor::Yellow.on_default().bold();

/// How a member's liveness looks.
pub(crate) fn liveness_style(liveness: &str) -> Style {
    match liveness {
        "alive" => GOOD,
        "suspect" => NOTE,
        _ => BAD,
    }
}

/// Text of another's making without control characters, which could drive the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|letter| if letter.is_control() { letter.escape_default().collect() } else { vec![letter] })
        .collect()
}

/// Several lines as one, safe to show.
pub(crate) fn on_one_line(text: &str) -> String {
    printable(&text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Where a node is, as `host:port`.
pub(crate) fn place(node: &NodeInfo) -> String {
    match Address::new(&node.host, node.port) {
        Ok(address) => address.to_string(),
        Err(_) => printable(&format!("{}:{}", node.host, node.port)),
    }
}

/// A time to three figures: `480 µs`, `12.3 ms`, `1.25 s`.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!(
            "{:.*} ms",
            if seconds < 0.01 {
                2
            } else if seconds < 0.1 {
                1
            } else {
                0
            },
            seconds * 1e3
        )
    } else if seconds < 60.0 {
        format!("{seconds:.2} s")
    } else {
        span(duration)
    }
}

/// A long time to two units: `59s`, `4m 10s`, `3h 2m`, `12d 4h`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A whole number with its thousands apart: `12,345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and its noun: `1 member`, `5 members`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The text padded, or cut with an ellipsis, to `width` columns.
pub(crate) fn fitted(text: &str, width: usize) -> String {
    let spare = width.saturating_sub(text.width());
    if text.width() <= width {
        return format!("{text}{}", " ".repeat(spare));
    }
    let mut cut = String::new();
    for letter in text.chars() {
        if cut.width() + letter.to_string().width() + 1 > width {
            break;
        }
        cut.push(letter);
    }
    let spare = width.saturating_sub(cut.width() + 1);
    format!("{cut}…{}", " ".repeat(spare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_cannot_be_driven_from_afar() {
        assert_eq!(printable("a\u{1b}[2Jb\r"), "a\\u{1b}[2Jb\\r");
        assert_eq!(on_one_line("a\n  b\n\n c"), "a b c");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(time(Duration::from_micros(480)), "480 µs");
        assert_eq!(time(Duration::from_micros(12_345)), "12.3 ms");
        assert_eq!(time(Duration::from_millis(1_250)), "1.25 s");
        assert_eq!(span(Duration::from_secs(250)), "4m 10s");
        assert_eq!(span(Duration::from_secs(90_000)), "1d 1h");
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([counted(1, "member"), counted(5, "member")], ["1 member", "5 members"]);
    }

    #[test]
    fn long_names_are_cut_by_columns() {
        assert_eq!(fitted("abc", 5), "abc  ");
        assert_eq!(fitted("abcdef", 5), "abcd…");
        assert_eq!(fitted("日本語", 5).width(), 5);
    }
}
