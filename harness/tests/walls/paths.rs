//! The paths that code names, found in its syntax tree.

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

use crate::modules::ModulePath;

/// A path, and the module that it is in.
pub(crate) struct Place {
    pub module: ModulePath,
    pub path: Vec<String>,
}

/// The paths in the items of a module; modules inside it are not entered.
pub(crate) fn of_items(module: &ModulePath, items: &[Item]) -> Vec<Place> {
    let mut found = Paths::default();
    items.iter().for_each(|item| found.visit_item(item));
    found.0.into_iter().map(|path| Place { module: module.clone(), path }).collect()
}

/// Each name that a `use` brings in, and its path. A glob's name is `*`.
pub(crate) fn of_use(tree: &UseTree) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    flatten(tree, &[], &mut found);
    found
}

fn flatten(tree: &UseTree, before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let with = |name: String| [before, &[name]].concat();
    let (name, path) = match tree {
        UseTree::Path(path) => return flatten(&path.tree, &with(path.ident.to_string()), found),
        UseTree::Group(group) => return group.items.iter().for_each(|tree| flatten(tree, before, found)),
        UseTree::Name(name) => (name.ident.to_string(), with(name.ident.to_string())),
        UseTree::Rename(rename) => (rename.rename.to_string(), with(rename.ident.to_string())),
        UseTree::Glob(_) => ("*".to_owned(), with("*".to_owned())),
    };
    // `use a::b::{self}` is `use a::b`.
    match (path.last().map(String::as_str), before.last()) {
        (Some("self"), Some(last)) => {
            let name = if name == "self" { last.clone() } else { name };
            found.push((name, before.to_vec()));
        }
        _ => found.push((name, path)),
    }
}

/// The name that an item has.
pub(crate) fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Whether an item is there in tests only.
pub(crate) fn is_of_tests(item: &Item) -> bool {
    let attributes = match item {
        Item::Mod(item) if item.ident == "tests" => return true,
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return false,
    };
    any_of_tests(attributes)
}

/// `#[cfg(test)]`, or `#[cfg(all(test, ...))]`.
fn any_of_tests(attributes: &[Attribute]) -> bool {
    let condition = |attribute: &Attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => Some(list.tokens.to_string().replace(' ', "")),
        _ => None,
    };
    let of_tests = |condition: String| {
        let all =
            condition.strip_prefix("all(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(&condition);
        all.split(',').any(|word| word == "test")
    };
    attributes.iter().filter_map(condition).any(of_tests)
}

#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl Paths {
    /// A single name is a variable or an item of this file as a rule.
    fn add(&mut self, path: Vec<String>) {
        if path.len() > 1 {
            self.0.push(path);
        }
    }

    /// Names with `::` between them are a path, whatever they mean to the macro.
    fn scan(&mut self, mut at: Cursor, in_attribute: bool) {
        while !at.eof() {
            if let Some((name, mut after)) = at.ident() {
                let mut path = vec![name.to_string()];
                while let Some((name, next)) = colons(after).and_then(Cursor::ident) {
                    path.push(name.to_string());
                    after = next;
                }
                self.add(path);
                at = after;
            } else if let Some((inside, _, _, after)) = at.any_group() {
                self.scan(inside, in_attribute);
                at = after;
            } else if let Some((literal, after)) = at.literal() {
                let text = syn::parse_str::<syn::LitStr>(&literal.to_string());
                if let (true, Ok(text)) = (in_attribute, text)
                    && let Ok(path) = text.parse::<syn::Path>()
                {
                    self.visit_path(&path);
                }
                at = after;
            } else if let Some((_, after)) = at.token_tree() {
                at = after;
            }
        }
    }
}

/// Behind `::`, where that comes next.
fn colons(at: Cursor<'_>) -> Option<Cursor<'_>> {
    let (first, between) = at.punct()?;
    let (second, after) = between.punct()?;
    (first.as_char() == ':' && second.as_char() == ':').then_some(after)
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_of_tests(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !any_of_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.0.extend(of_use(&item.tree).into_iter().map(|(_, path)| path));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    /// Says who may see it, and imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.scan(TokenBuffer::new2(item.tokens.clone()).begin(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.scan(TokenBuffer::new2(list.tokens.clone()).begin(), true);
        }
    }
}
