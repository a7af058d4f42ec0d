//! The documents: what they list is what the code has.

use std::collections::BTreeSet;
use std::fs;

use decision::policy::PolicyFile;
use guest::{Family, Root};
use harness::bundle::Bundle;
use harness::program::Program;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vmm::{BootAbi, Crash, GuestExit, Transport};

use super::read;

type Names = BTreeSet<String>;

/// What stands between backquotes in a text.
fn quoted(text: &str) -> Names {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// What stands between backquotes in the first cell of each row of the tables below a heading, or
/// below a row of it, up to the next heading.
fn rows(document: &str, heading: &str) -> Names {
    let document = format!("\n{document}");
    let (_, after) = document.split_once(&format!("\n{heading}")).unwrap();
    let lines = after
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('#'));
    let rows = lines.filter_map(|line| line.strip_prefix("| "));
    rows.flat_map(|row| quoted(row.split(" | ").next().unwrap()))
        .collect()
}

/// The names that are expected, as the error lists them that refuses another.
fn expected(refusal: &str) -> Names {
    let list = refusal.split("expected one of").nth(1).unwrap();
    quoted(list)
}

/// The names of an enum's variants.
fn variants<T: DeserializeOwned>() -> Names {
    let refusal = serde_json::from_value::<T>(json!("none-of-them"));
    expected(&refusal.err().unwrap().to_string())
}

/// The names of all conditions.
fn conditions() -> [Names; 2] {
    ["{ none = 1 }", "{ media = { none = 1 } }"].map(|when| {
        let text = format!(
            "version = 1\n[[rules]]\nname = \"x\"\nbecause = \"y\"\nthen = \"deny\"\nwhen = {when}\n"
        );
        expected(&PolicyFile::parse("f", &text).unwrap_err().to_string())
    })
}

#[track_caller]
fn assert_has(document: &str, names: &Names, of: &str) {
    let words = quoted(&read(document));
    let missing: Vec<_> = names.difference(&words).collect();
    assert!(missing.is_empty(), "{document}: no {of} {missing:?}");
}

#[test]
fn the_policys_rules_and_conditions() {
    let policy: toml::Table = read("policy/default.toml").parse().unwrap();
    let rules = policy["rules"].as_array().unwrap().iter();
    let rules: Names = rules
        .map(|rule| rule["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(rows(&read("docs/dispatch.md"), "## Rules"), rules);
    let [of_rules, of_media] = conditions();
    assert!(of_rules.len() + of_media.len() > 20, "{of_rules:?}");
    let all = &of_rules | &of_media;
    assert_eq!(rows(&read("docs/policy.md"), "## Conditions"), all);
}

#[test]
fn the_guests_that_can_be_run() {
    let abis = variants::<BootAbi>();
    let families = &variants::<Family>() - &BTreeSet::from(["other".to_owned()]);
    let roots = variants::<Root>();
    let transports = variants::<Transport>();
    assert!(abis.len() >= 6 && families.len() >= 7 && roots.len() == 5 && transports.len() == 4);
    for document in ["docs/guests.md", "docs/dispatch.md", "docs/policy.md"] {
        assert_has(document, &abis, "boot ABI");
    }
    let guests = read("docs/guests.md");
    assert!(rows(&guests, "## Boot ABIs").is_superset(&abis));
    for heading in ["## Families", "### Network"] {
        let listed = rows(&guests, heading);
        assert!(listed.is_superset(&families), "{heading}: {listed:?}");
    }
    assert!(rows(&guests, "## Virtio devices").is_superset(&transports));
    assert_has("docs/dispatch.md", &transports, "transport");
    assert_has("docs/dispatch.md", &roots, "root");
    let files = read("docs/files.md");
    assert_eq!(rows(&files, "# The files"), roots);
    assert!(rows(&files, "## What each family is told").is_superset(&families));
    let readme = read("README.md").to_lowercase();
    for family in families {
        assert!(readme.contains(&family), "README.md: no {family}");
    }
}

#[test]
fn how_a_guest_ends() {
    let ends = [
        GuestExit::Crashed(Crash::TripleFault { rip: None }),
        GuestExit::Crashed(Crash::Halted { rip: 0 }),
        GuestExit::Crashed(Crash::GuestReported { by: "pvpanic" }),
        GuestExit::Crashed(Crash::NoSuchPort { port: 0 }),
        GuestExit::PoweredOff,
        GuestExit::Reset,
    ];
    let guests = read("docs/guests.md");
    for end in ends {
        let status = end.status();
        assert!(
            guests.contains(&format!("| {status} |")),
            "docs/guests.md: {status}"
        );
    }
    let stopped = GuestExit::Signalled(nix::libc::SIGTERM).status();
    assert!(guests.contains(&format!("with {stopped}")), "{stopped}");
}

#[test]
fn the_annotations() {
    let bundle = Bundle::fixture("kernel-in-image").annotate("runu.dev/none-of-them", "");
    let answer = Program::new().call(&["explain", "--bundle", bundle.path().to_str().unwrap()]);
    let (_, list) = answer.stdout.split_once("known of runu.dev/ are ").unwrap();
    let list = list.lines().next().unwrap().replace(" and ", ", ");
    let known: Names = list
        .split(", ")
        .map(|key| format!("runu.dev/{key}"))
        .collect();
    assert!(known.len() > 10, "{known:?}");
    assert_eq!(rows(&read("docs/dispatch.md"), "## Annotations"), known);
}

#[test]
fn the_keys_of_an_explanation() {
    let (mut of_facts, mut of_plan) = (Names::new(), Names::new());
    for entry in fs::read_dir(harness::repository().join("tests/snapshots")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let Some(at) = text.find("\n{\n") else {
            continue;
        };
        let Ok(json) = serde_json::from_str::<Value>(&text[at..]) else {
            continue;
        };
        let keys = |of: &Value| -> Names {
            let object = of.as_object().into_iter().flatten();
            object.map(|(key, _)| key.clone()).collect()
        };
        of_facts.extend(keys(&json["facts"]));
        of_plan.extend(keys(&json["plan"]));
    }
    assert!(of_facts.len() > 8 && of_plan.len() > 8, "{of_facts:?}");
    let dispatch = read("docs/dispatch.md");
    let (_, tables) = dispatch.split_once("| key in `facts` |").unwrap();
    let tables = format!("\n#{tables}");
    let listed = rows(&tables, "#");
    // The snapshots leave it out: it is another one on each host.
    of_facts.insert("host".to_owned());
    assert_eq!(listed, of_facts);
    let plan = dispatch.lines().find(|line| line.starts_with("| `plan` |"));
    let missing = &of_plan - &quoted(plan.unwrap());
    assert!(missing.is_empty(), "docs/dispatch.md: plan's {missing:?}");
}

#[test]
fn what_doctor_looks_at() {
    let answer = Program::new().call(&["doctor", "--format", "json"]);
    let report: Value = serde_json::from_str(&answer.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().iter();
    let subjects: Names = checks
        .map(|check| check["subject"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        rows(&read("docs/doctor.md"), "# What a host can run"),
        subjects
    );
}

/// The amounts that the documents name.
#[test]
fn amounts_of_memory() {
    let dispatch = read("docs/dispatch.md");
    for bytes in [
        decision::plan::overhead(0, Root::None),
        decision::plan::DEFAULT_MEMORY,
        vmm::MIN_MEMORY,
    ] {
        let amount = format!("{} MiB", bytes >> 20);
        assert!(dispatch.contains(&amount), "docs/dispatch.md: {amount}");
    }
}

/// README's example is what the program prints.
#[test]
fn the_readmes_explanation() {
    let readme = read("README.md");
    let (_, sample) = readme
        .split_once("    $ runu explain --bundle ./bundle\n")
        .unwrap();
    let sample = sample.lines().take_while(|line| !line.is_empty());
    let sample: Vec<_> = sample.map(str::trim_start).collect();
    let bundle = Bundle::fixture("kernel-in-image-of-a-pod");
    let answer = Program::new().call(&["explain", "--bundle", bundle.path().to_str().unwrap()]);
    // The host is another one.
    let is_of_bundle = |line: &&str| !line.starts_with("host ");
    let printed: Vec<_> = answer.stdout.lines().filter(is_of_bundle).collect();
    let (host, sample): (Vec<_>, Vec<_>) = sample.into_iter().partition(|line| !is_of_bundle(line));
    assert_eq!(host.len(), 1);
    assert_eq!(printed, sample);
}

#[test]
fn the_fuzzers() {
    let targets = fs::read_dir(harness::repository().join("fuzz/fuzz_targets")).unwrap();
    let targets: Names = targets
        .map(|target| target.unwrap().file_name().into_string().unwrap())
        .map(|name| name.trim_end_matches(".rs").to_owned())
        .collect();
    assert_eq!(
        rows(&read("fuzz/README.md"), "others. `make fuzz`"),
        targets
    );
}

/// A file or directory that a page for developers names is there.
#[test]
fn the_files_of_the_walk() {
    let design = read("docs/design.md");
    let (_, walk) = design.split_once("\n## From `argv`").unwrap();
    let (walk, _) = walk.split_once("\n## ").unwrap();
    let is_path = |name: &String| name.contains('/') && !name.contains([' ', '*']);
    let of_walk = quoted(walk).into_iter().filter(is_path);
    let of_walk: Vec<_> = of_walk.filter(|path| path.ends_with(".rs")).collect();
    assert!(of_walk.len() > 30, "{of_walk:?}");
    let of_walk = of_walk.into_iter().map(|path| format!("src/{path}"));
    let is_ours = |name: &String| {
        let tops = ["src/", "tests/", "fixtures/", "policy/", "docs/", "fuzz/"];
        is_path(name) && tops.iter().any(|top| name.starts_with(top)) && !name.contains('<')
    };
    let of_guide = quoted(&read("CONTRIBUTING.md")).into_iter().filter(is_ours);
    for path in of_walk.chain(of_guide) {
        let there = harness::repository().join(&path).exists();
        assert!(there, "a page names {path}, which is not there");
    }
}
