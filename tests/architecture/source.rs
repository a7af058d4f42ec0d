//! A crate's source as modules that import each other's items.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use quote::ToTokens;
use syn::{Attribute, Ident, Item, UseTree, Visibility};

/// A path in the source, such as `crate::boot::Error`.
type Names = Vec<String>;

/// A module, in a file of its own or within another's.
#[derive(Default)]
struct Module {
    file: PathBuf,
    parent: usize,
    children: BTreeMap<String, usize>,
    /// Names that `use` brings in, for this module or for others too.
    imports: BTreeMap<String, Names>,
    globs: Vec<Names>,
    items: BTreeSet<String>,
    /// What is used here: not what is only handed on by a `pub use`.
    uses: Vec<Names>,
}

/// A crate without its tests.
pub struct Crate {
    src: PathBuf,
    modules: Vec<Module>,
}

impl Crate {
    /// Reads the crate in `src`, from its lib.rs on.
    pub fn read(src: &Path) -> Self {
        let mut read = Self {
            src: src.to_owned(),
            modules: vec![Module::default()],
        };
        read.file(0, &src.join("lib.rs"), src);
        read
    }

    /// The pairs of different files of which the first uses something of the second, each
    /// below the crate's directory.
    pub fn imports(&self) -> BTreeSet<(PathBuf, PathBuf)> {
        let mut pairs = BTreeSet::new();
        for (at, module) in self.modules.iter().enumerate() {
            for names in &module.uses {
                let Some(used) = self.resolve(at, names, 0) else {
                    continue;
                };
                let used = &self.modules[used].file;
                if *used != module.file {
                    pairs.insert((self.short(&module.file), self.short(used)));
                }
            }
        }
        pairs
    }

    fn short(&self, file: &Path) -> PathBuf {
        file.strip_prefix(&self.src).unwrap().to_owned()
    }

    /// The module that has what `names` says, as module `at` sees it; `None` where that is
    /// another crate's.
    fn resolve(&self, at: usize, names: &[String], depth: usize) -> Option<usize> {
        // A glob may lead back to where it came from.
        if depth > 16 {
            return None;
        }
        let (first, rest) = names.split_first()?;
        let module = &self.modules[at];
        match first.as_str() {
            "crate" => self.within(0, rest, depth),
            "self" => self.within(at, rest, depth),
            "super" => self.within(module.parent, rest, depth),
            name if module.children.contains_key(name) => self.within(at, names, depth),
            name => match module.imports.get(name) {
                // An import of the name itself is another crate's.
                Some(path) if path[0] != *name => self.resolve(at, path, depth + 1),
                _ => None,
            },
        }
    }

    /// The module that has what `names` says within module `at`.
    fn within(&self, at: usize, names: &[String], depth: usize) -> Option<usize> {
        let Some((first, rest)) = names.split_first() else {
            return Some(at);
        };
        let module = &self.modules[at];
        if first == "super" {
            return self.within(module.parent, rest, depth);
        }
        if let Some(child) = module.children.get(first) {
            return self.within(*child, rest, depth);
        }
        if module.items.contains(first) {
            return Some(at);
        }
        if let Some(path) = module.imports.get(first) {
            let path = [path, rest].concat();
            return self.resolve(at, &path, depth + 1);
        }
        let globs = module.globs.iter();
        let mut found = globs.filter_map(|glob| {
            let path = [glob, names].concat();
            self.resolve(at, &path, depth + 1)
        });
        found.next()
    }

    fn file(&mut self, at: usize, file: &Path, children: &Path) {
        let text = fs::read_to_string(file).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.modules[at].file = file.to_owned();
        self.items(at, parsed.items, children);
    }

    /// Takes in a module's items; the files of its children are in `children`.
    fn items(&mut self, at: usize, items: Vec<Item>, children: &Path) {
        for item in items {
            if is_for_tests(attributes(&item)) {
                continue;
            }
            if let Some(name) = name(&item) {
                self.modules[at].items.insert(name.to_string());
            }
            match item {
                Item::Mod(module) => self.child(at, module, children),
                Item::Use(import) => {
                    let is_private = matches!(import.vis, Visibility::Inherited);
                    self.import(at, Vec::new(), &import.tree, is_private);
                }
                other => {
                    let text = other.to_token_stream().to_string();
                    self.modules[at].uses.extend(paths(&text));
                }
            }
        }
    }

    fn child(&mut self, parent: usize, module: syn::ItemMod, dir: &Path) {
        let name = module.ident.to_string();
        let dir = dir.join(&name);
        let child = self.modules.len();
        self.modules.push(Module {
            parent,
            file: self.modules[parent].file.clone(),
            ..Module::default()
        });
        self.modules[parent].children.insert(name, child);
        match module.content {
            Some((_, items)) => self.items(child, items, &dir),
            None => {
                let own = dir.with_extension("rs");
                let file = if own.is_file() {
                    own
                } else {
                    dir.join("mod.rs")
                };
                self.file(child, &file, &dir);
            }
        }
    }

    fn import(&mut self, at: usize, before: Names, tree: &UseTree, is_private: bool) {
        let with = |name: &Ident| [before.clone(), vec![name.to_string()]].concat();
        let (path, name) = match tree {
            UseTree::Path(path) => {
                return self.import(at, with(&path.ident), &path.tree, is_private);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(at, before.clone(), tree, is_private);
                }
                return;
            }
            UseTree::Glob(_) => {
                self.modules[at].globs.push(before.clone());
                (before, None)
            }
            UseTree::Name(name) if name.ident == "self" => {
                let last = before.last().cloned();
                (before, last)
            }
            UseTree::Name(name) => (with(&name.ident), Some(name.ident.to_string())),
            UseTree::Rename(renamed) => (with(&renamed.ident), Some(renamed.rename.to_string())),
        };
        let module = &mut self.modules[at];
        if is_private {
            module.uses.push(path.clone());
        }
        if let Some(name) = name {
            module.imports.insert(name, path);
        }
    }
}

/// The paths of two names or more in a text of tokens.
fn paths(tokens: &str) -> Vec<Names> {
    let is_name = |word: &&str| word.chars().all(|c| c.is_alphanumeric() || c == '_');
    let spaced = tokens.replace("::", " :: ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let start = at;
        while at + 2 < words.len() && words[at + 1] == "::" && is_name(&words[at + 2]) {
            at += 2;
        }
        if at > start && is_name(&words[start]) {
            let names = words[start..=at].iter().step_by(2);
            found.push(names.map(|&name| name.to_owned()).collect());
        }
        at += 1;
    }
    found
}

/// Whether something is compiled for tests or fuzzers only.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.to_token_stream().to_string();
        text.starts_with("# [cfg") && (text.contains("test") || text.contains("fuzzing"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn name(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Macro(item) => item.ident.as_ref(),
        _ => None,
    }
}
