//! Which messages there are: what implements `Wire`, the commands of the control protocol, and gossip's own.

use anyhow::{Context, Result, bail};
use quote::ToTokens as _;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Expr, ImplItem, Item, ItemImpl, Lit, Token, Type};

use super::shape::Message;
use super::types::{Place, Types};
use crate::tidy::repo::Repo;

/// All messages of the crates, by name.
pub(super) fn of(repo: &Repo) -> Result<Vec<Message>> {
    let types = Types::of(repo);
    let mut messages = Vec::new();
    for (file, source) in repo.rust() {
        let Some(at) = Place::of(file) else { continue };
        let code = |item: &&Item| {
            let line = syn::spanned::Spanned::span(*item).start().line;
            !file.is_test(line)
        };
        let items: Vec<&Item> = source.tree.items.iter().filter(code).collect();
        let found = Found { types: &types, at, items: &items };
        found.messages(&mut messages).with_context(|| format!("in {}", file.path))?;
    }
    messages.sort();
    if let Some(pair) = messages.windows(2).find(|pair| pair[0].name == pair[1].name) {
        bail!("two messages are named `{}`", pair[0].name);
    }
    Ok(messages)
}

/// The items of one file.
struct Found<'a> {
    types: &'a Types<'a>,
    at: Place<'a>,
    items: &'a [&'a Item],
}

impl Found<'_> {
    fn messages(&self, messages: &mut Vec<Message>) -> Result<()> {
        for item in self.items {
            match item {
                Item::Impl(item) if implements(item, "Wire") => {
                    let tag = constant(item, "TAG")?.context("a `Wire` without a TAG")?;
                    let version = constant(item, "VERSION")?.unwrap_or_else(|| "1".into());
                    let name = format!("{} {tag} {version}", self.at.package);
                    self.add(messages, name.clone(), &item.self_ty)?;
                    if let Some(reply) = self.reply_to(&item.self_ty) {
                        self.add(messages, format!("{name} reply"), reply)?;
                    }
                }
                Item::Macro(item) if item.mac.path.is_ident("commands") => {
                    let version = self.version("VERSION")?;
                    for command in
                        item.mac.parse_body_with(Punctuated::<Command, Token![,]>::parse_terminated)?
                    {
                        let name = format!("{} control {} {version}", self.at.package, command.name);
                        self.add(messages, name.clone(), &command.arguments)?;
                        self.add(messages, format!("{name} reply"), &command.answer)?;
                    }
                }
                _ => {}
            }
        }
        for (package, declared, version) in ALSO.iter().filter(|(package, ..)| *package == self.at.package) {
            if self.items.iter().any(|item| is_type(item, declared)) && self.version(version).is_ok() {
                let name = format!("{package} {declared} {}", self.version(version)?);
                self.add(messages, name, &syn::parse_str(declared)?)?;
            }
        }
        Ok(())
    }

    fn add(&self, messages: &mut Vec<Message>, name: String, of: &Type) -> Result<()> {
        let fields =
            self.types.expand(self.at, "", of, &mut Vec::new()).with_context(|| format!("in `{name}`"))?;
        messages.push(Message { name, fields });
        Ok(())
    }

    /// The reply that `impl Request` declares.
    fn reply_to(&self, message: &Type) -> Option<&Type> {
        let text = |of: &Type| of.to_token_stream().to_string();
        self.items.iter().find_map(|item| match item {
            Item::Impl(item) if implements(item, "Request") && text(&item.self_ty) == text(message) => {
                item.items.iter().find_map(|item| match item {
                    ImplItem::Type(reply) if reply.ident == "Reply" => Some(&reply.ty),
                    _ => None,
                })
            }
            _ => None,
        })
    }

    /// The value of a constant of the file.
    fn version(&self, name: &str) -> Result<String> {
        let found = self.items.iter().find_map(|item| match item {
            Item::Const(item) if item.ident == name => literal(&item.expr),
            _ => None,
        });
        found.with_context(|| format!("no constant `{name}`"))
    }
}

/// What has no tag of its own: the crate, the type, and the constant beside it that is its version.
const ALSO: &[(&str, &str, &str)] = &[
    ("clusterluck", "Request", "VERSION"),
    ("clusterluck", "Response", "VERSION"),
    ("gossip", "Header", "PROTOCOL"),
    ("gossip", "Message", "PROTOCOL"),
];

/// A line of `commands!`: `"name" Arguments => Answer`.
struct Command {
    name: String,
    arguments: Type,
    answer: Type,
}

impl Parse for Command {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name: syn::LitStr = input.parse()?;
        let arguments = input.parse()?;
        input.parse::<Token![=>]>()?;
        Ok(Self { name: name.value(), arguments, answer: input.parse()? })
    }
}

fn implements(item: &ItemImpl, name: &str) -> bool {
    let of = item.trait_.as_ref().and_then(|(path, _)| path.segments.last());
    of.is_some_and(|segment| segment.ident == name)
}

fn is_type(item: &Item, name: &str) -> bool {
    match item {
        Item::Struct(item) => item.ident == name,
        Item::Enum(item) => item.ident == name,
        Item::Type(item) => item.ident == name,
        _ => false,
    }
}

fn constant(item: &ItemImpl, name: &str) -> Result<Option<String>> {
    for item in &item.items {
        if let ImplItem::Const(constant) = item
            && constant.ident == name
        {
            let found = literal(&constant.expr);
            let text = || format!("`{name} = {}`: write the value itself", constant.expr.to_token_stream());
            return found.with_context(text).map(Some);
        }
    }
    Ok(None)
}

fn literal(of: &Expr) -> Option<String> {
    match of {
        Expr::Lit(of) => match &of.lit {
            Lit::Str(text) => Some(text.value()),
            Lit::Int(number) => Some(number.base10_digits().to_owned()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::shape;
    use super::*;

    fn lock(text: &str) -> String {
        let repo = Repo::made_of(&[
            ("crates/x/src/lib.rs", text),
            ("crates/y/src/lib.rs", ELSEWHERE),
            ("crates/y/src/testing/gate.rs", FOR_TESTS),
        ]);
        let messages = of(&repo).unwrap();
        shape::print(&messages).lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }

    const ELSEWHERE: &str = "#[derive(Serialize)] pub struct Place { host: String, port: u16 }
        pub struct Hand; impl Serialize for Hand {}";
    const FOR_TESTS: &str = "#[derive(Serialize)] struct Ask;
        impl Wire for Ask { const TAG: &'static str = \"ask\"; }";

    #[test]
    fn structs_vanish_and_enums_show_their_variants() {
        let text = "
            impl Wire for Get { const TAG: &'static str = \"get\"; const VERSION: u16 = 2; }
            impl Request for Get { type Reply = Result<Vec<u8>, Why>; }
            #[derive(Serialize, Deserialize)] struct Get { at: y::Place, id: Id, kind: Option<Kind>, by: Hand }
            #[derive(Serialize)] struct Id(u64);
            #[derive(Serialize)] enum Kind { One, Two(u8, bool), Three { deep: Box<Kind> } }
            #[derive(Serialize)] #[serde(into = \"String\")] struct Why;
        ";
        let wanted = "
x get 2
  at.host: string
  at.port: u16
  id: u64
  kind: option
    : enum
      One
      Two
        0: u8
        1: bool
      Three
        deep: x::Kind again
  by: y::Hand

x get 2 reply
  : enum
    Ok
      : seq
        : u8
    Err
      : string";
        assert_eq!(lock(text), wanted);
    }

    #[test]
    fn commands_are_found_and_tests_are_not() {
        let text = "
            const VERSION: u16 = 3;
            commands! { \"nodes\" Nodes => BTreeMap<String, u32>, }
            #[derive(Serialize)] #[serde(remote = \"Self\")] struct Nodes { of: u8 }
            #[cfg(test)] impl Wire for Odd { const TAG: &'static str = \"odd\"; }
        ";
        let wanted = "
x control nodes 3
  : growing
    of: u8

x control nodes 3 reply
  : map
    key: string
    value: u32";
        assert_eq!(lock(text), wanted);
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        let wire = "impl Wire for Get { const TAG: &'static str = \"get\"; }";
        for text in [
            "impl Wire for Get { const TAG: &'static str = NAME; } #[derive(Serialize)] struct Get;"
                .to_owned(),
            format!("{wire} #[derive(Serialize)] #[serde(untagged)] enum Get {{ A }}"),
            format!("{wire} #[derive(Serialize)] struct Get {{ #[serde(flatten)] a: A }}"),
            format!("{wire} {wire} #[derive(Serialize)] struct Get;"),
        ] {
            assert!(of(&Repo::made_of(&[("crates/x/src/lib.rs", text.as_str())])).is_err(), "{text}");
        }
    }
}
