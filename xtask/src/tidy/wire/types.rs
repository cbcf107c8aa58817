//! The types of the sources, and what postcard writes of them.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use quote::ToTokens as _;
use syn::{Attribute, Fields, Item, Type};

use super::shape::Part;
use crate::tidy::repo::{File, Repo};
use crate::tidy::source::arguments;

/// The types a crate declares, by name.
pub(super) struct Types<'a> {
    by_name: BTreeMap<String, Vec<Declared<'a>>>,
}

struct Declared<'a> {
    at: Place<'a>,
    item: &'a Item,
    /// Its `Serialize` is derived, not written by hand.
    derived: bool,
}

/// Where something stands: its crate's folder, its file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) package: &'a str,
    file: &'a str,
}

impl<'a> Place<'a> {
    /// Of the sources of a crate, not of its tests, nor of what it has for tests of others.
    pub(super) fn of(file: &'a File) -> Option<Self> {
        let (package, rest) = file.path.strip_prefix("crates/")?.split_once('/')?;
        (rest.starts_with("src/") && !file.is_under("testing")).then_some(Self { package, file: &file.path })
    }
}

impl<'a> Types<'a> {
    pub(super) fn of(repo: &'a Repo) -> Self {
        let mut by_name: BTreeMap<String, Vec<Declared<'_>>> = BTreeMap::new();
        for (file, source) in repo.rust() {
            let Some(at) = Place::of(file) else { continue };
            for item in &source.tree.items {
                let (name, attributes) = match item {
                    Item::Struct(item) => (&item.ident, &item.attrs),
                    Item::Enum(item) => (&item.ident, &item.attrs),
                    Item::Type(item) => (&item.ident, &item.attrs),
                    _ => continue,
                };
                if file.is_test(name.span().start().line) {
                    continue;
                }
                let declared = Declared { at, item, derived: derives(attributes) };
                by_name.entry(name.to_string()).or_default().push(declared);
            }
        }
        Self { by_name }
    }

    /// What is written of a field of this name and type, as fields.
    pub(super) fn expand(
        &self,
        at: Place<'_>,
        name: &str,
        of: &Type,
        within: &mut Vec<String>,
    ) -> Result<Vec<Part>> {
        let one = |kind: &str, parts| Ok(vec![Part::new(name, kind, parts)]);
        match of {
            Type::Tuple(tuple) => {
                let mut parts = Vec::new();
                for (position, element) in tuple.elems.iter().enumerate() {
                    parts.extend(self.expand(at, &joined(name, &position.to_string()), element, within)?);
                }
                Ok(parts)
            }
            Type::Array(array) => one(
                &format!("array of {}", array.len.to_token_stream()),
                self.expand(at, "", &array.elem, within)?,
            ),
            Type::Slice(slice) => one("seq", self.expand(at, "", &slice.elem, within)?),
            Type::Reference(reference) => self.expand(at, name, &reference.elem, within),
            Type::Path(path) => self.expand_path(at, name, path, within),
            other => bail!("`{}` is of no type that can be sent", other.to_token_stream()),
        }
    }

    fn expand_path(
        &self,
        at: Place<'_>,
        name: &str,
        path: &syn::TypePath,
        within: &mut Vec<String>,
    ) -> Result<Vec<Part>> {
        let one = |kind: &str, parts| Ok(vec![Part::new(name, kind, parts)]);
        let Some(last) = path.path.segments.last() else { bail!("a type without a name") };
        let last_name = last.ident.to_string();
        let arguments = type_arguments(&last.arguments);
        match (last_name.as_str(), arguments.as_slice()) {
            ("Box" | "Arc" | "Rc" | "Cow", [inner]) => {
                return self.expand(at, name, inner, within);
            }
            ("Option", [inner]) => return one("option", self.expand(at, "", inner, within)?),
            ("Vec" | "VecDeque" | "BTreeSet" | "HashSet", [inner]) => {
                return one("seq", self.expand(at, "", inner, within)?);
            }
            ("BTreeMap" | "HashMap", [key, value]) => {
                let mut parts = self.expand(at, "key", key, within)?;
                parts.extend(self.expand(at, "value", value, within)?);
                return one("map", parts);
            }
            ("Result", [value, error]) => {
                let value = Part::new("Ok", "", self.expand(at, "", value, within)?);
                let error = Part::new("Err", "", self.expand(at, "", error, within)?);
                return one("enum", vec![value, error]);
            }
            ("String" | "str", []) => return one("string", vec![]),
            _ => {}
        }
        let first = path.path.segments.first().map(|segment| segment.ident.to_string()).unwrap_or_default();
        let Some(declared) = self.find(at, &first, &last_name)? else {
            return one(&path.to_token_stream().to_string().replace(' ', ""), vec![]);
        };
        self.expand_declared(declared, name, &last_name, &arguments, within)
    }

    fn expand_declared(
        &self,
        declared: &Declared<'_>,
        name: &str,
        type_name: &str,
        arguments: &[&Type],
        within: &mut Vec<String>,
    ) -> Result<Vec<Part>> {
        let full = format!("{}::{type_name}", declared.at.package);
        if let Item::Type(alias) = declared.item {
            return self.expand(declared.at, name, &alias.ty, within);
        }
        if within.contains(&full) {
            return Ok(vec![Part::new(name, &format!("{full} again"), vec![])]);
        }
        within.push(full.clone());
        let parts = if !declared.derived || !arguments.is_empty() {
            // Its bytes are what its own code writes: its own tests hold them.
            let mut parts = Vec::new();
            for argument in arguments {
                parts.extend(self.expand(declared.at, "", argument, within).unwrap_or_default());
            }
            vec![Part::new(name, &full, parts)]
        } else {
            self.expand_item(declared, name, within)?
        };
        within.pop();
        Ok(parts)
    }

    fn expand_item(
        &self,
        declared: &Declared<'_>,
        name: &str,
        within: &mut Vec<String>,
    ) -> Result<Vec<Part>> {
        match declared.item {
            Item::Struct(item) => match converted(&item.attrs)? {
                Some(other) => self.expand(declared.at, name, &other, within),
                // Sent with its length, so that its reader may know fewer fields, or more.
                None if serde(&item.attrs, "remote")?.is_some() => {
                    let parts = self.expand_fields(declared.at, "", &item.fields, within)?;
                    Ok(vec![Part::new(name, "growing", parts)])
                }
                None => self.expand_fields(declared.at, name, &item.fields, within),
            },
            Item::Enum(item) => {
                if let Some(other) = converted(&item.attrs)? {
                    return self.expand(declared.at, name, &other, within);
                }
                let mut variants = Vec::new();
                for variant in &item.variants {
                    let parts = self.expand_fields(declared.at, "", &variant.fields, within)?;
                    variants.push(Part::new(&variant.ident.to_string(), "", parts));
                }
                Ok(vec![Part::new(name, "enum", variants)])
            }
            _ => bail!("`{name}` is neither a struct nor an enum"),
        }
    }

    fn expand_fields(
        &self,
        at: Place<'_>,
        name: &str,
        fields: &Fields,
        within: &mut Vec<String>,
    ) -> Result<Vec<Part>> {
        let newtype = matches!(fields, Fields::Unnamed(unnamed) if unnamed.unnamed.len() == 1);
        let mut parts = Vec::new();
        for (position, field) in fields.iter().enumerate() {
            let own = field.ident.as_ref().map_or_else(|| position.to_string(), ToString::to_string);
            let own = if newtype { name.to_owned() } else { joined(name, &own) };
            match serde(&field.attrs, "with")? {
                _ if has(&field.attrs, "skip") => {}
                Some(module) => parts.push(Part::new(&own, &format!("by {module}"), vec![])),
                None => parts.extend(self.expand(at, &own, &field.ty, within)?),
            }
        }
        Ok(parts)
    }

    /// The type of that name: in the same file, or else in the same crate, or else in the crate that the path begins with
    /// or whichever of ours has it.
    fn find(&self, at: Place<'_>, first: &str, name: &str) -> Result<Option<&Declared<'a>>> {
        let Some(known) = self.by_name.get(name) else { return Ok(None) };
        let in_file = known.iter().filter(|declared| declared.at == at).collect::<Vec<_>>();
        let in_crate = known.iter().filter(|declared| declared.at.package == at.package).collect::<Vec<_>>();
        let named = known.iter().filter(|declared| declared.at.package == first).collect::<Vec<_>>();
        let elsewhere = known.iter().collect::<Vec<_>>();
        for candidates in
            if named.is_empty() { [in_file, in_crate, elsewhere] } else { [named, vec![], vec![]] }
        {
            match candidates[..] {
                [] => {}
                [one] => return Ok(Some(one)),
                _ => bail!("there are several types `{name}`: which one is sent cannot be told"),
            }
        }
        Ok(None)
    }
}

fn joined(name: &str, field: &str) -> String {
    if name.is_empty() { field.to_owned() } else { format!("{name}.{field}") }
}

fn type_arguments(arguments: &syn::PathArguments) -> Vec<&Type> {
    let syn::PathArguments::AngleBracketed(angle) = arguments else { return Vec::new() };
    let types = angle.args.iter().filter_map(|argument| match argument {
        syn::GenericArgument::Type(of) => Some(of),
        _ => None,
    });
    types.collect()
}

fn derives(attributes: &[Attribute]) -> bool {
    let text = |attribute: &Attribute| attribute.meta.to_token_stream().to_string();
    attributes.iter().map(text).any(|text| text.contains("derive") && text.contains("Serialize"))
}

/// What a type is turned into before it is written.
fn converted(attributes: &[Attribute]) -> Result<Option<Type>> {
    for unfit in ["untagged", "tag", "content"] {
        if has(attributes, unfit) || serde(attributes, unfit)?.is_some() {
            bail!("`{unfit}` does not go with postcard");
        }
    }
    serde(attributes, "into")?.map(|into| Ok(syn::parse_str(&into)?)).transpose()
}

/// The value of an argument of `#[serde(…)]`.
fn serde(attributes: &[Attribute], name: &str) -> Result<Option<String>> {
    for meta in serde_arguments(attributes) {
        if ["flatten", "skip_serializing_if"].iter().any(|unfit| meta.path().is_ident(unfit)) {
            bail!("`{}` does not go with postcard", meta.path().to_token_stream());
        }
        if let syn::Meta::NameValue(pair) = &meta
            && pair.path.is_ident(name)
            && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(value), .. }) = &pair.value
        {
            return Ok(Some(value.value()));
        }
    }
    Ok(None)
}

fn has(attributes: &[Attribute], name: &str) -> bool {
    serde_arguments(attributes)
        .iter()
        .any(|meta| matches!(meta, syn::Meta::Path(path) if path.is_ident(name)))
}

fn serde_arguments(attributes: &[Attribute]) -> Vec<syn::Meta> {
    let own = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    own.flat_map(|attribute| arguments(&attribute.meta)).collect()
}
