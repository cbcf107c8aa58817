//! No foreign type in a public API, but for an allow-list: whoever depends on a crate depends on what it shows.
//!
//! Read from the sources: the paths in public signatures, fields, bounds and re-exports, resolved through each file's
//! `use` items. What it cannot see is a foreign type behind a macro, or behind a private alias or re-export.

use std::collections::BTreeSet;

use cargo_metadata::DependencyKind;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::package::Package;
use crate::tidy::repo::{File, Repo};
use crate::tidy::source::{Source, feature_conditions, item_attributes};

pub(super) const RULE: Rule = Rule { name: "public-api", check };

const ALLOWED: &[&str] = &[
    "bytes",
    "serde",
    "serde_core",
    "tracing",
    "tokio::io::AsyncRead",
    "tokio::io::AsyncBufRead",
    "tokio::io::AsyncWrite",
    "tokio::io::ReadBuf",
    "futures_core::Stream",
    "futures_core::stream::Stream",
    "futures_core::FusedStream",
    "futures_core::stream::FusedStream",
];

/// Crates that may show through where their dependency is optional, hence behind a feature.
const ALLOWED_IF_OPTIONAL: &[&str] = &["proptest", "rustls"];

fn check(repo: &Repo, findings: &mut Findings) {
    for package in repo.packages.iter().filter(|package| package.library) {
        let foreign = foreign_crates(repo, package);
        let mut public = PublicNames::default();
        for (_, source) in repo.library_sources(package) {
            public.visit_file(&source.tree);
        }
        for (file, source) in repo.library_sources(package) {
            let mut walk = Walk { file, source, foreign: &foreign, public: &public.0, findings };
            walk.imports();
            walk.visit_file(&source.tree);
        }
    }
}

/// What code calls the dependencies whose types must not show.
fn foreign_crates(repo: &Repo, package: &Package) -> BTreeSet<String> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .filter(|dependency| repo.packages.iter().all(|member| member.name != dependency.package))
        .filter(|dependency| {
            !(dependency.optional && ALLOWED_IF_OPTIONAL.contains(&dependency.package.as_str()))
        })
        .map(|dependency| dependency.code_name.clone())
        .collect()
}

/// Types and traits declared `pub`, by name. (`unreachable_pub` sees to it that such a name can be reached.)
#[derive(Default)]
struct PublicNames(BTreeSet<String>);

impl<'ast> Visit<'ast> for PublicNames {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let (visibility, ident) = match item {
            syn::Item::Struct(item) => (&item.vis, &item.ident),
            syn::Item::Enum(item) => (&item.vis, &item.ident),
            syn::Item::Union(item) => (&item.vis, &item.ident),
            syn::Item::Trait(item) => (&item.vis, &item.ident),
            syn::Item::Type(item) => (&item.vis, &item.ident),
            _ => return visit::visit_item(self, item),
        };
        if is_public(visibility) {
            self.0.insert(ident.to_string());
        }
    }
}

struct Walk<'a, 'f> {
    file: &'a File,
    source: &'a Source,
    foreign: &'a BTreeSet<String>,
    public: &'a BTreeSet<String>,
    findings: &'f mut Findings,
}

impl Walk<'_, '_> {
    /// Re-exports, and globs that would hide from this rule where a name comes from.
    fn imports(&mut self) {
        for import in self.source.imports.iter() {
            if self.file.is_test(import.line) || !self.is_foreign(&import.path) {
                continue;
            }
            if import.public {
                self.report(import.line, &format!("re-exports `{}`", import.path));
            } else if import.name == "*" {
                let message = format!(
                    "imports all of `{}`: import by name, so that the public API can be checked",
                    import.path
                );
                self.findings.error(self.file, import.line, message);
            }
        }
    }

    fn is_foreign(&self, path: &str) -> bool {
        let root = path.split("::").next().unwrap_or(path);
        let allowed =
            |of: &&str| path.strip_prefix(*of).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        self.foreign.contains(root) && !ALLOWED.iter().any(allowed)
    }

    fn report(&mut self, line: usize, what: &str) {
        let message = format!("the public API {what}: wrap it in a type of our own, or hide it");
        self.findings.error(self.file, line, message);
    }

    /// Reports the foreign paths in a piece of signature.
    fn shows(&mut self, look: impl FnOnce(&mut Paths)) {
        let mut paths = Paths::default();
        look(&mut paths);
        for (path, line) in paths.0 {
            let full = self.source.imports.resolve(&path, line);
            if self.is_foreign(&full) {
                self.report(line, &format!("shows `{full}`"));
            }
        }
    }

    fn fields(&mut self, fields: &syn::Fields, all: bool) {
        for field in fields.iter().filter(|field| all || is_public(&field.vis)) {
            self.shows(|paths| paths.visit_type(&field.ty));
        }
    }

    fn trait_impl(&mut self, item: &syn::ItemImpl, path: &syn::Path) {
        let named = |path: &syn::Path| {
            path.segments.last().is_some_and(|last| self.public.contains(&last.ident.to_string()))
        };
        let own_type = matches!(&*item.self_ty, syn::Type::Path(of) if named(&of.path));
        if !own_type && !named(path) {
            return;
        }
        self.shows(|paths| {
            paths.visit_generics(&item.generics);
            paths.visit_path(path);
            paths.visit_type(&item.self_ty);
            for item in &item.items {
                if let syn::ImplItem::Type(item) = item {
                    paths.visit_type(&item.ty);
                }
            }
        });
    }

    fn inherent_impl(&mut self, item: &syn::ItemImpl) {
        let mut shown = false;
        for item in &item.items {
            match item {
                syn::ImplItem::Fn(item) if is_public(&item.vis) && !feature_conditions(&item.attrs).test => {
                    shown = true;
                    self.shows(|paths| paths.visit_signature(&item.sig));
                }
                syn::ImplItem::Const(item) if is_public(&item.vis) => {
                    shown = true;
                    self.shows(|paths| paths.visit_type(&item.ty));
                }
                _ => {}
            }
        }
        if shown {
            self.shows(|paths| paths.visit_generics(&item.generics));
        }
    }
}

impl<'ast> Visit<'ast> for Walk<'_, '_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if feature_conditions(item_attributes(item)).test || self.file.is_test(item.span().start().line) {
            return;
        }
        match item {
            syn::Item::Fn(item) if is_public(&item.vis) => {
                self.shows(|paths| paths.visit_signature(&item.sig));
            }
            syn::Item::Struct(item) if is_public(&item.vis) => {
                self.shows(|paths| paths.visit_generics(&item.generics));
                self.fields(&item.fields, false);
            }
            syn::Item::Enum(item) if is_public(&item.vis) => {
                self.shows(|paths| paths.visit_generics(&item.generics));
                item.variants.iter().for_each(|variant| self.fields(&variant.fields, true));
            }
            syn::Item::Trait(item) if is_public(&item.vis) => {
                self.shows(|paths| paths.visit_item_trait(item));
            }
            syn::Item::Type(item) if is_public(&item.vis) => self.shows(|paths| {
                paths.visit_generics(&item.generics);
                paths.visit_type(&item.ty);
            }),
            syn::Item::Const(item) if is_public(&item.vis) => self.shows(|paths| paths.visit_type(&item.ty)),
            syn::Item::Static(item) if is_public(&item.vis) => self.shows(|paths| paths.visit_type(&item.ty)),
            syn::Item::Impl(item) => match &item.trait_ {
                Some((path, _)) => self.trait_impl(item, path),
                None => self.inherent_impl(item),
            },
            syn::Item::Mod(_) => visit::visit_item(self, item),
            _ => {}
        }
    }
}

/// Every path in a piece of signature, with its line; bodies and attributes are not part of one.
#[derive(Default)]
struct Paths(Vec<(String, usize)>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.0.push((names.join("::"), path.span().start().line));
        visit::visit_path(self, path);
    }

    fn visit_block(&mut self, _: &'ast syn::Block) {}

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}

fn is_public(visibility: &syn::Visibility) -> bool {
    matches!(visibility, syn::Visibility::Public(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;

    fn lines(text: &str) -> Vec<String> {
        let package =
            Package::made_of("clusterluck-a", &["snow", "tokio", "bytes", "futures-core", "clusterluck-b"])
                .with_optional("proptest");
        let repo = Repo::made_of(&[("crates/a/src/lib.rs", text)])
            .with(package)
            .with(Package::made_of("clusterluck-b", &[]));
        caught(&RULE, &repo)
            .iter()
            .map(|place| place.trim_start_matches("crates/a/src/lib.rs:").to_owned())
            .collect()
    }

    #[test]
    fn an_own_api_passes() {
        let text = r#"
            use bytes::Bytes;
            use snow::{Builder, TransportState};
            pub use b::Thing;
            pub struct Session { pub body: Bytes, state: TransportState }
            pub(crate) fn builder() -> Builder<'static> { loop {} }
            fn private(x: snow::Error) {}
            impl Session {
                pub fn send<W: tokio::io::AsyncWrite>(&self, to: W) -> Result<(), crate::Error> { snow::f() }
                fn inner(&self) -> snow::Error { loop {} }
            }
            impl futures_core::Stream for Session { type Item = Bytes; }
            impl From<snow::Error> for Hidden {}
            struct Hidden;
            pub fn strategy() -> impl proptest::strategy::Strategy<Value = u8> { 0..1 }
            #[cfg(test)]
            mod tests { pub fn f() -> snow::Error { loop {} } }
        "#;
        assert_eq!(lines(text), Vec::<String>::new());
    }

    #[test]
    fn foreign_types_are_caught_wherever_they_show() {
        let text = [
            "use snow::Error as Noise;",
            "pub use snow::Keypair;",
            "pub fn a(x: &Noise) {}",
            "pub struct S { pub state: Option<snow::TransportState> }",
            "pub enum E { Handshake(snow::Error) }",
            "impl From<snow::Error> for E {}",
            "pub trait T: snow::resolvers::CryptoResolver {}",
            "pub fn b() -> impl Fn(tokio::time::Instant) {}",
            "impl S { pub fn c(&self) where Noise: Sized {} }",
            "use tokio::sync::*;",
            "impl Iterator for S { type Item = Noise; }",
            "pub type Alias = tokio::task::JoinHandle<()>;",
        ];
        let expected: Vec<_> = (2..=12).map(|line| line.to_string()).collect();
        assert_eq!(lines(&text.join("\n")), expected);
    }
}
