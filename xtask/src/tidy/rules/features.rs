//! Features only add: none changes a trait's methods or takes an impl away.

use std::collections::BTreeSet;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::tidy::finding::{Findings, Rule};
use crate::tidy::repo::{File, Repo};
use crate::tidy::source::{feature_conditions, item_attributes};

pub(super) const RULE: Rule = Rule { name: "features-add", check };

fn check(repo: &Repo, findings: &mut Findings) {
    for package in repo.packages.iter().filter(|package| package.library) {
        let mut own = Names::default();
        for (_, source) in repo.library_sources(package) {
            own.visit_file(&source.tree);
        }
        for (file, source) in repo.library_sources(package) {
            let mut walk = Walk { file, own: &own, findings };
            walk.visit_file(&source.tree);
        }
    }
}

/// The traits and types a package declares itself, by name.
#[derive(Default)]
struct Names {
    traits: BTreeSet<String>,
    types: BTreeSet<String>,
    /// Types that are there only with a feature; their impls may say so again.
    gated: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let ident = match item {
            syn::Item::Trait(item) => {
                self.traits.insert(item.ident.to_string());
                None
            }
            syn::Item::Struct(item) => Some(&item.ident),
            syn::Item::Enum(item) => Some(&item.ident),
            syn::Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(ident) = ident {
            self.types.insert(ident.to_string());
            if feature_conditions(item_attributes(item)).needs {
                self.gated.insert(ident.to_string());
            }
        }
        visit::visit_item(self, item);
    }
}

struct Walk<'a, 'f> {
    file: &'a File,
    own: &'a Names,
    findings: &'f mut Findings,
}

impl Walk<'_, '_> {
    fn methods<'ast>(&mut self, attributes: impl Iterator<Item = (&'ast [syn::Attribute], usize)>) {
        for (attributes, line) in attributes {
            let conditions = feature_conditions(attributes);
            if (conditions.needs || conditions.refuses) && !conditions.test {
                self.findings.error(
                    self.file,
                    line,
                    "a feature changes what a trait has: make it a trait of its own behind the feature",
                );
            }
        }
    }

    /// An own trait for an own type: its users count on it whatever the features are.
    fn is_own_impl(&self, item: &syn::ItemImpl) -> bool {
        let Some((path, _)) = &item.trait_ else { return false };
        let own_trait = last(path).is_some_and(|name| self.own.traits.contains(&name));
        let syn::Type::Path(target) = &*item.self_ty else { return false };
        let own_type = last(&target.path)
            .is_some_and(|name| self.own.types.contains(&name) && !self.own.gated.contains(&name));
        own_trait && own_type
    }
}

impl<'ast> Visit<'ast> for Walk<'_, '_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let conditions = feature_conditions(item_attributes(item));
        if conditions.test || self.file.is_test(item.span().start().line) {
            return;
        }
        if conditions.refuses
            && (is_public(item) || matches!(item, syn::Item::Impl(of) if of.trait_.is_some()))
        {
            self.findings.error(
                self.file,
                item.span().start().line,
                "a feature takes this away: features only add",
            );
        }
        visit::visit_item(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.methods(item.items.iter().map(|item| (trait_item_attributes(item), item.span().start().line)));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.trait_.is_some() {
            self.methods(
                item.items.iter().map(|item| (impl_item_attributes(item), item.span().start().line)),
            );
        }
        if feature_conditions(&item.attrs).needs && self.is_own_impl(item) {
            self.findings.error(
                self.file,
                item.span().start().line,
                "an impl that comes and goes with a feature: gate the type, or let it be there always",
            );
        }
        visit::visit_item_impl(self, item);
    }
}

fn last(path: &syn::Path) -> Option<String> {
    path.segments.last().map(|segment| segment.ident.to_string())
}

fn is_public(item: &syn::Item) -> bool {
    let visibility = match item {
        syn::Item::Const(item) => &item.vis,
        syn::Item::Enum(item) => &item.vis,
        syn::Item::Fn(item) => &item.vis,
        syn::Item::Mod(item) => &item.vis,
        syn::Item::Static(item) => &item.vis,
        syn::Item::Struct(item) => &item.vis,
        syn::Item::Trait(item) => &item.vis,
        syn::Item::Type(item) => &item.vis,
        syn::Item::Union(item) => &item.vis,
        syn::Item::Use(item) => &item.vis,
        _ => return false,
    };
    matches!(visibility, syn::Visibility::Public(_))
}

fn trait_item_attributes(item: &syn::TraitItem) -> &[syn::Attribute] {
    match item {
        syn::TraitItem::Const(item) => &item.attrs,
        syn::TraitItem::Fn(item) => &item.attrs,
        syn::TraitItem::Type(item) => &item.attrs,
        syn::TraitItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

fn impl_item_attributes(item: &syn::ImplItem) -> &[syn::Attribute] {
    match item {
        syn::ImplItem::Const(item) => &item.attrs,
        syn::ImplItem::Fn(item) => &item.attrs,
        syn::ImplItem::Type(item) => &item.attrs,
        syn::ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::finding::caught;
    use crate::tidy::package::Package;

    fn lines(text: &str) -> Vec<String> {
        let repo =
            Repo::made_of(&[("crates/a/src/lib.rs", text)]).with(Package::made_of("clusterluck-a", &[]));
        caught(&RULE, &repo)
    }

    #[test]
    fn features_that_add_pass() {
        let text = r#"
            #[cfg(feature = "serde")]
            impl Serialize for Clock {}
            #[cfg(feature = "tls")]
            pub struct Tls;
            #[cfg(feature = "tls")]
            impl Security for Tls {}
            #[cfg(feature = "fast")]
            use quick as sealer;
            #[cfg(not(feature = "fast"))]
            use plain as sealer;
            pub trait Security { fn seal(&self) {} }
            pub struct Clock;
        "#;
        assert!(lines(text).is_empty());
    }

    #[test]
    fn methods_behind_a_feature_are_caught() {
        let text = "pub trait T {\n    #[cfg(feature = \"x\")]\n    fn f(&self);\n}\nimpl T for S {\n    \
                    #[cfg(feature = \"x\")]\n    fn f(&self) {}\n}\n";
        assert_eq!(lines(text), ["crates/a/src/lib.rs:2", "crates/a/src/lib.rs:6"]);
    }

    #[test]
    fn an_own_impl_behind_a_feature_is_caught() {
        let text = "pub trait T {}\npub struct S;\n#[cfg(feature = \"x\")]\nimpl T for S {}\n";
        assert_eq!(lines(text), ["crates/a/src/lib.rs:3"]);
    }

    #[test]
    fn what_a_feature_takes_away_is_caught() {
        let text = "#[cfg(not(feature = \"x\"))]\npub fn f() {}\n#[cfg(not(feature = \"x\"))]\nimpl Clone for S {}\n";
        assert_eq!(lines(text), ["crates/a/src/lib.rs:1", "crates/a/src/lib.rs:3"]);
    }
}
