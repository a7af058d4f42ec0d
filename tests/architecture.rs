//! The structure of the code: which module imports which, and how long a file is.

use std::fs;
use std::path::{Path, PathBuf};

/// Each module of `src` and what it may import of the others (docs/design.md, "The
/// way of a call").
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("vmm", &[]),
    ("bundle", &[]),
    ("guest", &[]),
    ("net", &[]),
    ("cli", &[]),
    ("config", &[]),
    ("exit", &["cli"]),
    ("image", &["bundle"]),
    ("facts", &["bundle", "guest", "image", "net", "vmm"]),
    ("plan", &["facts", "guest", "net", "vmm"]),
    ("policy", &["facts", "image", "plan"]),
    ("runc", &["config"]),
    (
        "dispatch",
        &[
            "bundle",
            "cli",
            "config",
            "facts",
            "image",
            "lifecycle",
            "policy",
            "runc",
        ],
    ),
    (
        "govern",
        &[
            "bundle", "cli", "config", "exit", "facts", "image", "policy", "vmm",
        ],
    ),
    (
        "doctor",
        &[
            "cli", "config", "exit", "facts", "image", "policy", "runc", "vmm",
        ],
    ),
    ("features", &["config", "exit", "facts", "runc"]),
    (
        "explain",
        &[
            "bundle",
            "cli",
            "config",
            "dispatch",
            "exit",
            "facts",
            "image",
            "lifecycle",
            "plan",
            "policy",
            "runc",
        ],
    ),
    (
        "lifecycle",
        &[
            "bundle", "cli", "exit", "facts", "guest", "net", "plan", "vmm",
        ],
    ),
];

/// The most lines that a file may have.
const LONGEST: usize = 350;

/// All Rust files below `directory`.
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

/// The module that a file of `src` belongs to: its directory there, or its own name.
fn module(src: &Path, file: &Path) -> String {
    let first = file.strip_prefix(src).unwrap().components().next().unwrap();
    let name = first.as_os_str().to_str().unwrap();
    name.trim_end_matches(".rs").to_owned()
}

#[test]
fn imports_go_one_way() {
    let src = harness::repository().join("src");
    let mut seen = 0;
    for file in files(&src) {
        let module = module(&src, &file);
        if module == "lib" || module == "main" {
            continue;
        }
        let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} is not in the table"));
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap();
            for import in code.split("crate::").skip(1) {
                let name: String = import
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                seen += 1;
                assert!(
                    name == module || allowed.contains(&name.as_str()),
                    "{}:{}: {module} imports {name:?}",
                    file.display(),
                    number + 1,
                );
            }
        }
    }
    assert!(seen > 20, "the test sees no imports: {seen}");
}

#[test]
fn files_are_short_enough_to_read() {
    let repository = harness::repository();
    let all = [
        files(&repository.join("src")),
        files(&repository.join("tests")),
    ]
    .concat();
    for file in all {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= LONGEST, "{} has {lines} lines", file.display());
    }
}

#[test]
fn the_docs_name_what_the_code_has() {
    let read = |path: &str| fs::read_to_string(harness::repository().join(path)).unwrap();
    let dispatch = read("docs/dispatch.md");
    let policy: toml::Table = read("policy/default.toml").parse().unwrap();
    for rule in policy["rules"].as_array().unwrap() {
        let name = rule["name"].as_str().unwrap();
        assert!(
            dispatch.contains(&format!("| `{name}` |")),
            "docs/dispatch.md has no rule {name}"
        );
    }
    let conditions = conditions();
    assert!(conditions.len() > 20, "{conditions:?}");
    for name in conditions {
        assert!(
            read("docs/policy.md").contains(&format!("`{name}`")),
            "docs/policy.md has no condition {name}"
        );
    }
    for key in [
        "mode",
        "mode.<container>",
        "kernel",
        "initrd",
        "cmdline",
        "family",
        "memory",
        "vcpus",
        "network",
        "ports",
    ] {
        assert!(
            dispatch.contains(&format!("| `runu.dev/{key}` |")),
            "docs/dispatch.md: {key}"
        );
    }
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    for amount in [
        decision::plan::overhead(0, guest::Root::None),
        decision::plan::DEFAULT_MEMORY,
        vmm::MIN_MEMORY,
    ] {
        assert!(
            dispatch.contains(&mib(amount)),
            "docs/dispatch.md: {}",
            mib(amount)
        );
    }
    let guests = read("docs/guests.md");
    use vmm::{Crash, GuestExit};
    for crash in [
        Crash::TripleFault { rip: None },
        Crash::GuestReported { by: "pvpanic" },
    ] {
        let status = GuestExit::Crashed(crash).status();
        assert!(
            guests.contains(&format!("| {status} |")),
            "docs/guests.md: {status}"
        );
    }
}

/// The names of all conditions, as the refusal of one that is none lists them.
fn conditions() -> Vec<String> {
    let listed = |when: &str| {
        let text = format!(
            "version = 1\n[[rules]]\nname = \"x\"\nbecause = \"y\"\nthen = \"deny\"\nwhen = {when}\n"
        );
        let refusal = decision::policy::PolicyFile::parse("f", &text).unwrap_err();
        let refusal = refusal.to_string();
        let list = refusal.split("expected one of").nth(1).unwrap().to_owned();
        let quoted = list.split('`').skip(1).step_by(2).map(str::to_owned);
        quoted.collect::<Vec<_>>()
    };
    [listed("{ none = 1 }"), listed("{ media = { none = 1 } }")].concat()
}
