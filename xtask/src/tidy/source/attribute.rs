//! Attributes, wherever they stand: also inside macro calls and inside `cfg_attr`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::Token;
use syn::punctuated::Punctuated;

pub(crate) struct Attribute {
    pub(crate) meta: syn::Meta,
    pub(crate) line: usize,
}

impl Attribute {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.meta.path().is_ident(name)
    }
}

/// Every attribute of a stream; those a `cfg_attr` would add follow it as entries of their own.
pub(super) fn all(stream: &TokenStream) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    collect(stream.clone(), &mut attributes);
    attributes
}

fn collect(stream: TokenStream, attributes: &mut Vec<Attribute>) {
    let mut after_pound = false;
    for tree in stream {
        match tree {
            TokenTree::Punct(punct) if punct.as_char() == '#' => after_pound = true,
            TokenTree::Punct(punct) if punct.as_char() == '!' && after_pound => {}
            TokenTree::Group(group) => {
                if after_pound && group.delimiter() == Delimiter::Bracket {
                    let line = group.span_open().start().line;
                    if let Ok(meta) = syn::parse2::<syn::Meta>(group.stream()) {
                        add(meta, line, attributes);
                    }
                } else {
                    collect(group.stream(), attributes);
                }
                after_pound = false;
            }
            _ => after_pound = false,
        }
    }
}

fn add(meta: syn::Meta, line: usize, attributes: &mut Vec<Attribute>) {
    if meta.path().is_ident("doc") {
        return;
    }
    let added = if meta.path().is_ident("cfg_attr") { arguments(&meta) } else { Vec::new() };
    attributes.push(Attribute { meta, line });
    for meta in added.into_iter().skip(1) {
        add(meta, line, attributes);
    }
}

/// The arguments of a list such as `expect(lint, reason = "…")`.
pub(crate) fn arguments(meta: &syn::Meta) -> Vec<syn::Meta> {
    let syn::Meta::List(list) = meta else { return Vec::new() };
    list.parse_args_with(Punctuated::<syn::Meta, Token![,]>::parse_terminated)
        .map(|arguments| arguments.into_iter().collect())
        .unwrap_or_default()
}

/// How `cfg` attributes tie an item to features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FeatureConditions {
    /// The item needs a feature to be there.
    pub(crate) needs: bool,
    /// The item is gone when a feature is there.
    pub(crate) refuses: bool,
    /// The item exists only in tests.
    pub(crate) test: bool,
}

pub(crate) fn feature_conditions(attributes: &[syn::Attribute]) -> FeatureConditions {
    let mut found = FeatureConditions::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")) {
        for condition in arguments(&attribute.meta) {
            weigh(&condition, false, &mut found);
        }
    }
    found
}

fn weigh(condition: &syn::Meta, negated: bool, found: &mut FeatureConditions) {
    let path = condition.path();
    if path.is_ident("feature") {
        if negated { found.refuses = true } else { found.needs = true }
    } else if path.is_ident("test") {
        found.test |= !negated;
    } else {
        let negated = negated ^ path.is_ident("not");
        let inner = arguments(condition);
        // `any(test, …)` is there outside tests too.
        let alternatives = path.is_ident("any") && inner.len() > 1;
        let test = found.test;
        inner.iter().for_each(|condition| weigh(condition, negated, found));
        if alternatives {
            found.test = test;
        }
    }
}

pub(crate) fn item_attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::ForeignMod(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::TraitAlias(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Union(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        all(&text.parse().expect("the sample is made of tokens"))
            .iter()
            .map(|attribute| {
                attribute.meta.path().segments.last().expect("a path has a name").ident.to_string()
            })
            .collect()
    }

    #[test]
    fn attributes_inside_macros_and_cfg_attr_are_found() {
        assert_eq!(names("proptest! { #[ignore] fn f() {} }"), ["ignore"]);
        assert_eq!(
            names("#![cfg_attr(docsrs, feature(doc_cfg), allow(dead_code))]"),
            ["cfg_attr", "feature", "allow"]
        );
        assert_eq!(names("macro_rules! m { (# [x]) => {}; } let a = [1]; a[0];"), ["x"]);
    }

    fn conditions(text: &str) -> FeatureConditions {
        let item: syn::ItemFn = syn::parse_str(&format!("{text} fn f() {{}}")).expect("the sample parses");
        feature_conditions(&item.attrs)
    }

    #[test]
    fn conditions_tell_needing_from_refusing() {
        assert_eq!(conditions("#[cfg(unix)]"), FeatureConditions::default());
        assert!(conditions(r#"#[cfg(all(unix, feature = "x"))]"#).needs);
        assert!(conditions(r#"#[cfg(not(feature = "x"))]"#).refuses);
        assert!(conditions("#[cfg(test)]").test);
        assert!(conditions("#[cfg(all(test, unix))]").test);
        assert!(!conditions(r#"#[cfg(any(test, feature = "x"))]"#).test);
        assert!(!conditions("#[cfg(not(test))]").test);
    }
}
