//! A Rust source, read four ways: as a syntax tree, as flat tokens, as the paths it mentions, and as its comments.
//!
//! The tree knows what is public and what is a test; the tokens see inside macro calls, where the tree is blind;
//! strings and comments are apart from both, so that a rule's name in a message never breaks the rule.

mod attribute;
mod comment;
mod import;
mod mention;
mod region;
mod token;

use proc_macro2::TokenStream;

pub(super) use self::attribute::{Attribute, arguments, feature_conditions, item_attributes};
pub(super) use self::comment::Comment;
pub(super) use self::import::Imports;
pub(super) use self::mention::Mention;
pub(super) use self::token::{Kind, Token};

pub(super) struct Source {
    pub(super) tree: syn::File,
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Comment>,
    pub(super) imports: Imports,
    pub(super) mentions: Vec<Mention>,
    pub(super) attributes: Vec<Attribute>,
    tests: region::Tests,
}

impl Source {
    pub(super) fn parse(text: &str) -> syn::Result<Self> {
        let stream: TokenStream = text.parse()?;
        let (tokens, comments) = token::flatten(text, stream.clone());
        let attributes = attribute::all(&stream);
        let tree: syn::File = syn::parse2(stream)?;
        let imports = Imports::of(&tree);
        let mentions = mention::all(&tokens, &imports);
        let tests = region::Tests::of(&tree);
        Ok(Self { tree, tokens, comments, imports, mentions, attributes, tests })
    }

    /// Whether a line belongs to an item that exists only under `cfg(test)`.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.tests.contains(line)
    }

    /// Files of the modules declared here under `cfg(test)`, relative to this file's own module folder.
    pub(super) fn test_modules(&self) -> &[String] {
        self.tests.modules()
    }
}
