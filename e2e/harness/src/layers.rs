//! Finds the modules of a crate that use each other in a cycle, so that a test can require that there are none.
//!
//! A module uses another if its file names it in a path: `crate::a::b`, `super::c`, or `b::Item` after `use crate::a::b`.
//! Code under `#[cfg(test)]` does not count. The paths are taken as written: a path through a re-export is a use of the
//! module that re-exports.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module by its path from the crate's root; the root's path is empty.
type Module = Vec<String>;
type Uses = BTreeMap<Module, BTreeSet<Module>>;

/// The cycles among the modules of a library, given its `lib.rs`; each is a line that names its members.
///
/// A cycle is a group of files each of which uses every other one, directly or through others. So is a group of neighbours
/// (modules of one parent) when each counts as one with everything inside it: if `a/x.rs` uses `b.rs` and `b.rs` uses
/// `a/y.rs`, then `a` and `b` form a cycle.
#[must_use]
pub fn cycles(library: &Path) -> BTreeSet<String> {
    let mut files = BTreeMap::new();
    read(library, Module::new(), &mut files);
    let uses: Uses = files
        .iter()
        .map(|(module, file)| (module.clone(), file.uses(module, &files)))
        .collect();
    let parents: BTreeSet<&[String]> = uses
        .keys()
        .filter_map(|it| Some(it.split_last()?.1))
        .collect();
    let neighbours = parents.into_iter().map(|parent| neighbours(parent, &uses));
    std::iter::once(uses.clone())
        .chain(neighbours)
        .flat_map(|uses| groups(&uses))
        .collect()
}

/// The uses among the modules of one parent, where each counts as one with everything inside it.
fn neighbours(parent: &[String], uses: &Uses) -> Uses {
    let neighbour = |module: &Module| {
        let is_inside = module.len() > parent.len() && module.starts_with(parent);
        is_inside.then(|| module[..=parent.len()].to_vec())
    };
    let mut among = Uses::new();
    for (module, others) in uses {
        if let Some(module) = neighbour(module) {
            let others = others.iter().filter_map(neighbour);
            let others: Vec<_> = others.filter(|it| *it != module).collect();
            among.entry(module).or_default().extend(others);
        }
    }
    among
}

/// Groups of modules that reach each other.
fn groups(uses: &Uses) -> BTreeSet<String> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = uses
        .keys()
        .map(|start| {
            let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
            while let Some(module) = next.pop() {
                next.extend(uses[module].iter().filter(|it| reached.insert(*it)));
            }
            (start, reached)
        })
        .collect();
    let groups = reached
        .iter()
        .filter(|(module, reached)| reached.contains(*module));
    groups
        .map(|(module, others)| {
            let cycle = others.iter().filter(|it| reached[*it].contains(module));
            let cycle: Vec<_> = cycle.map(|it| it.join("::")).collect();
            format!("{} modules: {}", cycle.len(), cycle.join(", "))
        })
        .collect()
}

/// Reads a module's file, and those of the modules inside it.
fn read(path: &Path, module: Module, files: &mut BTreeMap<Module, File>) {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file = File::default();
    file.read(text.parse().unwrap());
    let folder = if module.is_empty() {
        path.with_file_name("")
    } else {
        path.with_extension("")
    };
    for name in &file.modules {
        let child = [module.as_slice(), std::slice::from_ref(name)].concat();
        read(&folder.join(name).with_extension("rs"), child, files);
    }
    files.insert(module, file);
}

/// The parsed content of a file.
#[derive(Default)]
struct File {
    /// The modules that it declares.
    modules: Vec<String>,
    /// The paths in it, each with the name that an import gives it in this file.
    paths: Vec<(Vec<String>, String)>,
}

impl File {
    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let [token, after @ ..] = rest {
            rest = match (token, after) {
                (TokenTree::Punct(_), [TokenTree::Group(it), after @ ..])
                    if it.stream().to_string().replace(' ', "") == "cfg(test)" =>
                {
                    let ends =
                        |it: &TokenTree| is(it, ';') || group(it, Delimiter::Brace).is_some();
                    let end = after.iter().position(ends);
                    end.map_or(&[], |end| &after[end + 1..])
                }
                // `pub(in crate::a)` uses nothing.
                (TokenTree::Ident(word), [it, after @ ..])
                    if word == "pub" && group(it, Delimiter::Parenthesis).is_some() =>
                {
                    after
                }
                (TokenTree::Ident(word), [TokenTree::Ident(name), end, after @ ..])
                    if word == "mod" && is(end, ';') =>
                {
                    self.modules.push(name.to_string());
                    after
                }
                (TokenTree::Ident(_), _) => self.path(Vec::new(), rest),
                (TokenTree::Group(it), after) => {
                    self.read(it.stream());
                    after
                }
                (_, after) => after,
            }
        }
    }

    /// Reads the path at the start of `tokens`, which continues `path`; returns the tokens after it.
    fn path<'t>(&mut self, mut path: Vec<String>, tokens: &'t [TokenTree]) -> &'t [TokenTree] {
        let [TokenTree::Ident(part), after @ ..] = tokens else {
            return tokens;
        };
        if part != "self" || path.is_empty() {
            path.push(part.to_string());
        }
        match after {
            [one, two, after @ ..] if is(one, ':') && is(two, ':') => match after {
                [TokenTree::Ident(_), ..] => return self.path(path, after),
                [it, after @ ..] if let Some(several) = group(it, Delimiter::Brace) => {
                    let several: Vec<TokenTree> = several.into_iter().collect();
                    for one in several.split(|it| is(it, ',')) {
                        self.path(path.clone(), one);
                    }
                    return after;
                }
                _ => {}
            },
            [TokenTree::Ident(word), TokenTree::Ident(name), after @ ..] if word == "as" => {
                self.paths.push((path, name.to_string()));
                return after;
            }
            _ => {}
        }
        let name = path.last().cloned().unwrap_or_default();
        self.paths.push((path, name));
        after
    }

    /// The modules that the file of `module` uses.
    fn uses(&self, module: &Module, files: &BTreeMap<Module, Self>) -> BTreeSet<Module> {
        // Modules by their names in this file.
        let mut names: BTreeMap<&str, Module> = BTreeMap::new();
        for name in &self.modules {
            names.insert(
                name,
                [module.as_slice(), std::slice::from_ref(name)].concat(),
            );
        }
        let mut used = BTreeSet::new();
        for (path, name) in self.paths.iter().filter(|(path, _)| path.len() > 1) {
            let mut full = match path[0].as_str() {
                "crate" => Module::new(),
                "self" => module.clone(),
                "super" => module[..module.len() - 1].to_vec(),
                first => match names.get(first) {
                    Some(module) => module.clone(),
                    None => continue,
                },
            };
            for part in &path[1..] {
                match part.as_str() {
                    "super" => drop(full.pop()),
                    part => full.push(part.to_owned()),
                }
            }
            if files.contains_key(&full) {
                names.insert(name, full.clone());
            }
            while !files.contains_key(&full) {
                full.pop();
            }
            used.insert(full);
        }
        used.remove(module);
        used
    }
}

fn is(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(it) if it.as_char() == sign)
}

fn group(token: &TokenTree, delimiter: Delimiter) -> Option<TokenStream> {
    match token {
        TokenTree::Group(it) if it.delimiter() == delimiter => Some(it.stream()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::cycles;
    use std::fs;

    fn cycles_of(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        cycles(&folder.path().join("lib.rs")).into_iter().collect()
    }

    #[test]
    fn layers_have_no_cycle() {
        let files = [
            ("lib.rs", "mod roof; mod ground; mod aside { }"),
            (
                "roof.rs",
                "mod room; use room::Room; use crate::ground; fn f() { ground::cellar::g(roof::x) }",
            ),
            (
                "roof/room.rs",
                "pub(in crate::roof) struct Room; // crate::roof::f",
            ),
            (
                "ground.rs",
                "pub mod cellar; #[cfg(test)] mod tests; #[cfg(test)] fn t() { crate::roof::f() }",
            ),
            (
                "ground/cellar.rs",
                "#[cfg(test)] mod tests { use crate::roof; }",
            ),
        ];
        assert_eq!(cycles_of(&files), Vec::<String>::new());
    }

    #[test]
    fn a_cycle_is_found_however_its_paths_are_written() {
        for back in [
            "use crate::a::A;",
            "use crate::{a::{self, A}, c};",
            "use super::a::*;",
            "use crate::a as other;",
            "fn f() { format!(\"{}\", crate::a::A) }",
            "type B = Vec<super::a::A>;",
        ] {
            let files = [
                ("lib.rs", "mod a; mod b; mod c;"),
                ("a.rs", "use crate::c; pub use c::C;"),
                ("b.rs", back),
                ("c.rs", "use super::b; fn f() { b::f() }"),
            ];
            assert_eq!(cycles_of(&files), ["3 modules: a, b, c"], "{back}");
        }
    }

    #[test]
    fn a_parent_and_its_children_are_a_cycle_if_they_use_each_other() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod b; use b::B; pub struct A;"),
            ("a/b.rs", "use super::A; pub struct B;"),
        ];
        assert_eq!(cycles_of(&files), ["2 modules: a, a::b"]);
    }

    #[test]
    fn siblings_are_a_cycle_if_their_children_use_each_other() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod x; mod y;"),
            ("a/x.rs", "use crate::b;  use b::B;"),
            ("a/y.rs", ""),
            ("b.rs", "use crate::a::y; pub struct B;"),
        ];
        assert_eq!(cycles_of(&files), ["2 modules: a, b"]);
    }
}
