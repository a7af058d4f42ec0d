//! The structure of the code: what a crate and a module may import, how long a file is, and
//! that the documents list what the code has.

mod crates;
mod docs;
mod modules;
mod processor;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines that a file may have.
const MAX_LINES: usize = 350;

/// All Rust files below `dir`.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// A document of the repository.
fn read(path: &str) -> String {
    fs::read_to_string(harness::repository().join(path)).unwrap()
}

/// The first indented block below a heading: of each line what stands before the colon, and the
/// rest.
fn block(document: &str, heading: &str) -> Vec<(String, String)> {
    let (_, after) = document.split_once(heading).unwrap();
    let is_in = |line: &&str| line.starts_with("    ");
    let lines = after.lines().skip_while(|line| !is_in(line));
    let lines = lines.take_while(is_in);
    let pairs = lines.map(|line| line.trim().split_once(':').unwrap());
    pairs
        .map(|(name, rest)| (name.to_owned(), rest.trim().to_owned()))
        .collect()
}

#[test]
fn files_are_short_enough_to_read() {
    let repository = harness::repository();
    let all = [
        files(&repository.join("src")),
        files(&repository.join("tests")),
    ]
    .concat();
    assert!(all.len() > 200, "not all files are seen");
    for file in all {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", file.display());
    }
}
