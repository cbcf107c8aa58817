//! The workspace's own messages, as `wire.lock` keeps them: a change that another release would misread is a breach.
//!
//! postcard writes no field names, so a field more or less, or two that change places, is read as something else. What is
//! sent under one tag and version therefore stays as it is; of an enum, variants may be appended. The lock is made of the
//! sources, so no message has to be registered, and none can be forgotten.

mod compare;
mod messages;
mod shape;
mod types;

use std::path::Path;

use anyhow::{Context, Result, bail};

use self::compare::breaches;
use self::shape::Message;
use super::finding::Findings;
use super::repo::Repo;

/// Prints how the messages differ from the lock, or writes the lock anew if they only grew.
pub(crate) fn run(root: &Path, update: bool) -> Result<()> {
    let repo = Repo::load(root)?;
    let now = messages::of(&repo)?;
    let path = root.join(LOCK);
    let text = if path.exists() { std::fs::read_to_string(&path)? } else { String::new() };
    let locked = shape::parse(&text)?;
    let breaches = breaches(&locked, &now);
    for breach in &breaches {
        println!("{breach}");
    }
    if !breaches.is_empty() {
        bail!("{} messages are not what {LOCK} says", breaches.len());
    }
    let written = shape::print(&now);
    if written == text {
        println!("wire: {} messages, as {LOCK} says", now.len());
    } else if update {
        std::fs::write(&path, written).with_context(|| format!("writing {LOCK}"))?;
        println!("wire: {LOCK} written, {} messages", now.len());
    } else {
        bail!("{LOCK} lacks what was added: `cargo xtask wire --update`");
    }
    Ok(())
}

/// The rule: as [`run`], for the gate.
pub(super) fn check(repo: &Repo, findings: &mut Findings) {
    let (now, lock) = match (messages::of(repo), repo.file(LOCK)) {
        (Ok(now), lock) if now.is_empty() && lock.is_none() => return,
        (Ok(now), lock) => (now, lock.map_or("", |lock| lock.text.as_str())),
        (Err(error), _) => return findings.error_at(LOCK, 1, format!("{error:#}")),
    };
    let locked: Vec<Message> = match shape::parse(lock) {
        Ok(locked) => locked,
        Err(error) => return findings.error_at(LOCK, 1, format!("{error:#}")),
    };
    let breaches = breaches(&locked, &now);
    for breach in &breaches {
        findings.error_at(LOCK, 1, breach.as_str());
    }
    if breaches.is_empty() && shape::print(&now) != lock {
        findings.error_at(LOCK, 1, "it lacks what was added: `cargo xtask wire --update`");
    }
}

const LOCK: &str = "wire.lock";
