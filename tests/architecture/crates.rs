//! The crates: who may use whom, and how much of others' code each one needs.

use std::collections::BTreeSet;
use std::process::Command;

use super::{block, read};

type Names = BTreeSet<String>;

/// What no crate but `runu` may need, however far away.
const OF_THE_PROGRAM: [&str; 3] = ["clap", "libcgroups", "libcontainer"];
/// Nor the monitor.
const NOT_OF_A_MONITOR: [&str; 4] = ["oci-spec", "prost", "tokio", "tonic"];

/// The names of all packages that a crate of this workspace is built of, its own among them.
fn packages(name: &str) -> Names {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(harness::repository());
    cargo.args(["tree", "--locked", "--offline", "--package", name]);
    cargo.args(["--edges=normal", "--prefix=none", "--format={p}"]);
    let output = cargo.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// The crates of this workspace that a crate names among its dependencies.
fn uses(name: &str, all: &Names) -> Names {
    let manifest: toml::Table = read(&format!("src/{name}/Cargo.toml")).parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap().keys();
    let ours = dependencies.filter(|dependency| all.contains(*dependency));
    ours.cloned().collect()
}

#[test]
fn each_crate_uses_what_the_picture_shows() {
    let picture = block(&read("docs/design.md"), "### Crates");
    let all: Names = picture.iter().map(|(name, _)| name.clone()).collect();
    let src = harness::repository().join("src");
    assert_eq!(all.len(), src.read_dir().unwrap().count(), "{all:?}");
    for (name, line) in picture {
        let (shown, most) = line.split_once(';').unwrap();
        let shown = shown.split(',').map(|name| name.trim().to_owned());
        let shown: Names = shown.filter(|name| name != "nothing").collect();
        assert_eq!(uses(&name, &all), shown, "{name}");

        let most = most.split_whitespace().find_map(|word| word.parse().ok());
        let most: usize = most.unwrap_or_else(|| panic!("{name}: how many packages at most?"));
        let packages = packages(&name);
        let count = packages.len();
        assert!(count <= most, "{name} has {count} packages: {packages:?}");
        let has = |stranger: &&&str| packages.contains(**stranger);
        let strangers = OF_THE_PROGRAM.iter().find(has);
        assert!(
            name == "runu" || strangers.is_none(),
            "{name}: {strangers:?}"
        );
        let strangers = NOT_OF_A_MONITOR.iter().find(has);
        assert!(
            name != "vmm" || strangers.is_none(),
            "{name}: {strangers:?}"
        );
    }
}
