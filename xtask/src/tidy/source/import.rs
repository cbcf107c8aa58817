//! What the `use` items of a file bring into which lines.

use std::ops::RangeInclusive;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

#[derive(Debug)]
pub(crate) struct Import {
    /// The name it goes by here; `*` for a glob, whose path then names the module.
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) public: bool,
    /// The lines of the module or block it stands in.
    scope: RangeInclusive<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Imports(Vec<Import>);

impl Imports {
    pub(super) fn of(tree: &syn::File) -> Self {
        let mut collect = Collect { scopes: vec![1..=usize::MAX], imports: Vec::new() };
        collect.visit_file(tree);
        Self(collect.imports)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Import> {
        self.0.iter()
    }

    /// The full path of a path written at `line`: its first name is replaced by what the nearest `use` says it is.
    pub(crate) fn resolve(&self, path: &str, line: usize) -> String {
        let (first, rest) = path.split_once("::").map_or((path, None), |(first, rest)| (first, Some(rest)));
        let nearest = self
            .0
            .iter()
            .filter(|import| import.name == first && import.scope.contains(&line))
            .min_by_key(|import| import.scope.end() - import.scope.start());
        match (nearest, rest) {
            (Some(import), Some(rest)) => format!("{}::{rest}", import.path),
            (Some(import), None) => import.path.clone(),
            (None, _) => path.to_owned(),
        }
    }
}

struct Collect {
    scopes: Vec<RangeInclusive<usize>>,
    imports: Vec<Import>,
}

impl Collect {
    fn within(&mut self, span: proc_macro2::Span, walk: impl FnOnce(&mut Self)) {
        self.scopes.push(span.start().line..=span.end().line);
        walk(self);
        self.scopes.pop();
    }

    fn tree(&mut self, tree: &syn::UseTree, prefix: &str, public: bool) {
        let (name, path, span) = match tree {
            syn::UseTree::Path(path) => {
                return self.tree(&path.tree, &join(prefix, &path.ident), public);
            }
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.tree(item, prefix, public));
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                let last = prefix.rsplit("::").next().unwrap_or(prefix);
                (last.to_owned(), prefix.to_owned(), name.ident.span())
            }
            syn::UseTree::Name(name) => (bare(&name.ident), join(prefix, &name.ident), name.ident.span()),
            syn::UseTree::Rename(rename) if rename.ident == "self" => {
                (bare(&rename.rename), prefix.to_owned(), rename.ident.span())
            }
            syn::UseTree::Rename(rename) => {
                (bare(&rename.rename), join(prefix, &rename.ident), rename.ident.span())
            }
            syn::UseTree::Glob(glob) => ("*".to_owned(), prefix.to_owned(), glob.star_token.span()),
        };
        let scope = self.scopes.last().expect("the file's own scope is never popped").clone();
        self.imports.push(Import { name, path, line: span.start().line, public, scope });
    }
}

impl<'ast> Visit<'ast> for Collect {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.within(module.span(), |collect| visit::visit_item_mod(collect, module));
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.within(block.span(), |collect| visit::visit_block(collect, block));
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, "", matches!(item.vis, syn::Visibility::Public(_)));
    }
}

fn bare(ident: &syn::Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").map(str::to_owned).unwrap_or(text)
}

fn join(prefix: &str, ident: &syn::Ident) -> String {
    if prefix.is_empty() { bare(ident) } else { format!("{prefix}::{}", bare(ident)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(text: &str) -> Imports {
        Imports::of(&syn::parse_file(text).expect("the sample parses"))
    }

    #[test]
    fn groups_renames_and_self_resolve() {
        let imports = imports("use tokio::{sync::mpsc::{self, Sender as Tx}, time as clock};");
        assert_eq!(imports.resolve("mpsc::channel", 2), "tokio::sync::mpsc::channel");
        assert_eq!(imports.resolve("Tx", 2), "tokio::sync::mpsc::Sender");
        assert_eq!(imports.resolve("clock::sleep", 2), "tokio::time::sleep");
        assert_eq!(imports.resolve("other::sleep", 2), "other::sleep");
    }

    #[test]
    fn the_nearest_scope_decides() {
        let imports = imports(
            "use std::time::Instant;\nfn f() {}\nmod tests {\n    use tokio::time::Instant;\n    fn g() {}\n}\n",
        );
        assert_eq!(imports.resolve("Instant::now", 2), "std::time::Instant::now");
        assert_eq!(imports.resolve("Instant::now", 5), "tokio::time::Instant::now");
    }

    #[test]
    fn globs_keep_their_module() {
        let imports = imports("pub use rand::prelude::*;");
        let glob = imports.iter().next().expect("one import");
        assert_eq!((glob.name.as_str(), glob.path.as_str(), glob.public), ("*", "rand::prelude", true));
    }
}
