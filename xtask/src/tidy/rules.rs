//! One rule a file.

mod arrows;
mod bounds;
mod docs_snippets;
mod exceptions;
mod features;
mod guide;
mod length;
mod links;
mod machine_paths;
mod manifests;
mod printing;
mod public_api;
mod pure_core;
mod syntax;
mod tests_wait;
mod unfinished;

use super::finding::Rule;
use super::wire;

pub(super) const ALL: &[Rule] = &[
    syntax::RULE,
    arrows::RULE,
    pure_core::RULE,
    bounds::RULE,
    public_api::RULE,
    features::RULE,
    exceptions::RULE,
    unfinished::RULE,
    docs_snippets::RULE,
    tests_wait::RULE,
    printing::RULE,
    manifests::RULE,
    length::RULE,
    machine_paths::RULE,
    links::RULE,
    guide::RULE,
    WIRE,
];

/// The crates' own messages are what `wire.lock` says.
const WIRE: Rule = Rule { name: "wire", check: wire::check };
