//! The modules of a crate: no circle among its files, and nothing that imports upward.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::source::Crate;
use super::{block, read};

/// Each crate's name and source.
fn crates() -> Vec<(String, PathBuf)> {
    let src = harness::repository().join("src");
    let mut found: Vec<_> = fs::read_dir(src)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, entry.path().join("src"))
        })
        .collect();
    found.sort();
    found
}

type Edges = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// All that can be reached from a file.
fn reached(edges: &Edges, from: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(file) = open.pop() {
        for next in edges.get(&file).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut circles = BTreeSet::new();
    let mut seen = 0;
    for (name, src) in crates() {
        let mut edges = Edges::new();
        for (file, used) in Crate::read(&src).imports() {
            seen += 1;
            edges.entry(file).or_default().insert(used);
        }
        let reach: BTreeMap<_, _> = edges.keys().map(|f| (f, reached(&edges, f))).collect();
        for (file, all) in &reach {
            let back = |other: &&PathBuf| reach.get(other).is_some_and(|r| r.contains(*file));
            let circle: BTreeSet<_> = all.iter().filter(back).collect();
            if !circle.is_empty() {
                let links = circle.iter().map(|file| {
                    let to = edges[*file].iter().filter(|used| circle.contains(used));
                    format!("  {} -> {:?}", file.display(), to.collect::<Vec<_>>())
                });
                let links: Vec<_> = links.collect();
                circles.insert(format!("{name}:\n{}", links.join("\n")));
            }
        }
    }
    assert!(seen > 400, "the test sees {seen} imports");
    let circles: Vec<_> = circles.into_iter().collect();
    assert!(
        circles.is_empty(),
        "{} circles\n{}",
        circles.len(),
        circles.join("\n")
    );
}

/// The module of the crate's root that a file belongs to.
fn top(file: &Path) -> String {
    let first = file.components().next().unwrap().as_os_str();
    let name = first.to_str().unwrap();
    name.trim_end_matches(".rs").to_owned()
}

#[test]
fn modules_import_downward_only() {
    let design = read("docs/design.md");
    let orders = block(&design, "### Modules");
    assert!(orders.len() >= 2, "{orders:?}");
    for (name, order) in orders {
        let layers = order
            .split('→')
            .map(|layer| layer.split(',').map(str::trim));
        let layers = layers.enumerate();
        let levels: BTreeMap<_, _> = layers
            .flat_map(|(level, modules)| modules.map(move |module| (module, level)))
            .collect();
        let src = harness::repository().join("src").join(&name).join("src");
        let level = |file: &Path| {
            let module = top(file);
            let level = levels.get(module.as_str()).copied();
            level.unwrap_or_else(|| panic!("docs/design.md: no module {module} of {name}"))
        };
        for (file, used) in Crate::read(&src).imports() {
            if top(&file) == top(&used) || top(&file) == "lib" {
                continue;
            }
            assert!(
                level(&file) < level(&used),
                "{name}: {} imports {}, which is not below it",
                file.display(),
                used.display()
            );
        }
    }
}
