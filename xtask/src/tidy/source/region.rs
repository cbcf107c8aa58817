//! Which lines of a file are test code, and which of its modules.

use std::ops::RangeInclusive;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::attribute::{feature_conditions, item_attributes};

#[derive(Debug, Default)]
pub(super) struct Tests {
    lines: Vec<RangeInclusive<usize>>,
    modules: Vec<String>,
}

impl Tests {
    pub(super) fn of(tree: &syn::File) -> Self {
        let mut tests = Self::default();
        if feature_conditions(&tree.attrs).test {
            tests.lines.push(1..=usize::MAX);
        }
        tests.visit_file(tree);
        tests
    }

    pub(super) fn contains(&self, line: usize) -> bool {
        self.lines.iter().any(|lines| lines.contains(&line))
    }

    pub(super) fn modules(&self) -> &[String] {
        &self.modules
    }
}

impl<'ast> Visit<'ast> for Tests {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = item_attributes(item);
        if !feature_conditions(attributes).test && !attributes.iter().any(marks_a_test) {
            return visit::visit_item(self, item);
        }
        let span = item.span();
        self.lines.push(span.start().line..=span.end().line);
        if let syn::Item::Mod(module) = item
            && module.content.is_none()
        {
            self.modules.push(module_file(module));
        }
    }
}

/// `#[test]`, `#[tokio::test]` and their like.
fn marks_a_test(attribute: &syn::Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
}

/// The module's own file name, or what its `path` attribute says.
fn module_file(module: &syn::ItemMod) -> String {
    let explicit = module.attrs.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    });
    explicit.unwrap_or_else(|| module.ident.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::Source;

    #[test]
    fn test_items_are_told_from_the_rest() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[tokio::test]\nasync fn c() {}\n\
                    #[cfg(any(test, feature = \"x\"))]\nfn d() {}\n";
        let source = Source::parse(text).expect("the sample parses");
        let tests: Vec<_> = (1..=9).filter(|line| source.is_test(*line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn test_modules_in_other_files_are_named() {
        let text =
            "#[cfg(test)]\nmod laws;\n#[cfg(test)]\n#[path = \"odd/place.rs\"]\nmod other;\nmod code;\n";
        let source = Source::parse(text).expect("the sample parses");
        assert_eq!(source.test_modules(), ["laws", "odd/place.rs"]);
    }
}
