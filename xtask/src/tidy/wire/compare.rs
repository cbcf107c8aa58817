//! What another release would misread.

use super::shape::{Message, Part};

/// How the messages break what the lock says, one line for each that does. New messages break nothing.
pub(super) fn breaches(locked: &[Message], now: &[Message]) -> Vec<String> {
    let mut breaches = Vec::new();
    for before in locked {
        let name = &before.name;
        let Some(after) = now.iter().find(|message| message.name == *name) else {
            breaches.push(format!(
                "`{name}` is gone: nodes of an earlier release still send it. If none is left, take it out of the lock by hand"
            ));
            continue;
        };
        if let Some(breach) = differ(&before.fields, &after.fields, false) {
            breaches.push(format!(
                "`{name}` has changed under its version: {breach}. Give the new shape a new version (a mere change of names goes into the lock by hand)"
            ));
        }
    }
    breaches
}

/// The first difference that matters.
fn differ(before: &[Part], after: &[Part], appendable: bool) -> Option<String> {
    for (before, after) in before.iter().zip(after) {
        if before.label() != after.label() {
            return Some(format!("`{}` is now `{}`", before.label(), after.label()));
        }
        // Variants are known by their numbers, and what grows says how long it is: more may follow. What each variant and
        // field holds stays as it is.
        let appendable = ["enum", "growing"].contains(&before.kind.as_str());
        if let Some(below) = differ(&before.parts, &after.parts, appendable) {
            return Some(format!("{} in `{}`", below, before.label()));
        }
    }
    match (before.get(after.len()), after.get(before.len())) {
        (Some(gone), _) => Some(format!("`{}` is gone", gone.label())),
        (_, Some(new)) if !appendable => Some(format!("`{}` is new", new.label())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape;
    use super::*;

    fn check(before: &str, after: &str) -> Vec<String> {
        breaches(&shape::parse(before).unwrap(), &shape::parse(after).unwrap())
    }

    const LOCKED: &str = "x get 1\n  key: string\n  kind: enum\n    One\n    Two\n      : u64\n";

    #[test]
    fn what_stays_and_what_is_appended_to_an_enum_is_no_breach() {
        assert_eq!(check(LOCKED, LOCKED), [""; 0]);
        assert_eq!(check(LOCKED, &format!("{LOCKED}    Three\n      : u8\n")), [""; 0]);
        assert_eq!(check(LOCKED, &format!("{LOCKED}x put 1\n  key: string\n")), [""; 0]);
    }

    #[test]
    fn every_other_change_under_one_version_is_a_breach() {
        for (after, why) in [
            ("x get 1\n  key: string\n  kind: enum\n    One\n", "`Two` is gone in `kind: enum`"),
            (
                "x get 1\n  key: string\n  kind: enum\n    Two\n      : u64\n    One\n",
                "`One` is now `Two` in `kind: enum`",
            ),
            (
                "x get 1\n  key: string\n  kind: enum\n    One\n    Two\n      : u32\n",
                "`: u64` is now `: u32` in `Two` in `kind: enum`",
            ),
            (
                "x get 1\n  key: string\n  kind: enum\n    One\n    Two\n      : u64\n      : u8\n",
                "`: u8` is new in `Two` in `kind: enum`",
            ),
            ("x get 1\n  key: string\n", "`kind: enum` is gone"),
            (
                "x get 1\n  kind: enum\n    One\n    Two\n      : u64\n  key: string\n",
                "`key: string` is now `kind: enum`",
            ),
        ] {
            let found = check(LOCKED, after);
            assert_eq!(found.len(), 1, "{after}");
            assert!(
                found[0].starts_with(&format!("`x get 1` has changed under its version: {why}. ")),
                "{found:?}"
            );
        }
        let longer = format!("{LOCKED}  more: bool\n");
        assert!(check(LOCKED, &longer)[0].contains("`more: bool` is new"));
        assert!(check(LOCKED, "x get 2\n  key: string\n")[0].starts_with("`x get 1` is gone"));
    }

    #[test]
    fn what_travels_with_its_length_may_get_more_fields_at_its_end() {
        let before =
            "x info 1\n  : growing\n    id: string\n    peers: seq\n      : growing\n        id: string\n";
        assert_eq!(check(before, &format!("{before}        up: bool\n")), [""; 0]);
        assert_eq!(check(before, &format!("{before}    uptime: u64\n")), [""; 0]);
        let between = before.replace("    peers", "    uptime: u64\n    peers");
        assert_eq!(check(before, &between).len(), 1);
        assert_eq!(check(before, &format!("{before}  uptime: u64\n")).len(), 1);
    }
}
