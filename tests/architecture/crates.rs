//! The crates: who may use whom, and how much of others' code each one needs.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use super::{block, read};

/// What no crate but `runu` may need, however far away.
const OF_THE_PROGRAM: [&str; 4] = ["anyhow", "clap", "libcgroups", "libcontainer"];

/// What cargo knows of the workspace: each package's name by its ID, and the IDs that it needs to
/// be built and run, its tests aside.
struct Graph {
    names: BTreeMap<String, String>,
    needs: BTreeMap<String, Vec<String>>,
    members: BTreeSet<String>,
}

impl Graph {
    fn read() -> Self {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(harness::repository());
        cargo.args(["metadata", "--format-version=1", "--locked", "--offline"]);
        // A package for another system is none of ours.
        cargo.args(["--filter-platform", "x86_64-unknown-linux-musl"]);
        let output = cargo.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let packages = metadata["packages"].as_array().unwrap();
        let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
        let members = metadata["workspace_members"].as_array().unwrap();
        Self {
            names: packages
                .iter()
                .map(|package| (text(&package["id"]), text(&package["name"])))
                .collect(),
            needs: nodes
                .iter()
                .map(|node| (text(&node["id"]), normal(&node["deps"])))
                .collect(),
            members: members.iter().map(text).collect(),
        }
    }

    fn id(&self, name: &str) -> &str {
        let mut members = self.members.iter();
        members.find(|id| self.names[*id] == name).unwrap()
    }

    /// The crates of this workspace that a crate names in its Cargo.toml.
    fn ours(&self, name: &str) -> BTreeSet<&str> {
        let needs = self.needs[self.id(name)].iter();
        let ours = needs.filter(|id| self.members.contains(*id));
        ours.map(|id| self.names[id].as_str()).collect()
    }

    /// The names of all packages that a crate needs, itself aside.
    fn all(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.id(name)];
        while let Some(id) = open.pop() {
            for need in &self.needs[id] {
                if found.insert(need) {
                    open.push(need);
                }
            }
        }
        found.iter().map(|id| self.names[*id].as_str()).collect()
    }
}

/// The IDs of a node's dependencies that are neither for tests nor for build scripts.
fn normal(deps: &Value) -> Vec<String> {
    let is_normal = |dep: &&Value| {
        let kinds = dep["dep_kinds"].as_array().unwrap();
        kinds.iter().any(|kind| kind["kind"].is_null())
    };
    let deps = deps.as_array().unwrap().iter().filter(is_normal);
    deps.map(|dep| dep["pkg"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn each_crate_uses_what_the_picture_shows() {
    let graph = Graph::read();
    let picture = block(&read("docs/design.md"), "### Crates");
    assert_eq!(picture.len(), graph.members.len() - 1, "all but the tests");
    for (name, line) in picture {
        let (uses, most) = line.split_once(';').unwrap();
        let uses: BTreeSet<_> = uses.split(',').map(str::trim).collect();
        let uses = &uses - &BTreeSet::from(["nothing"]);
        assert_eq!(graph.ours(&name), uses, "{name}");

        let most = most.split_whitespace().find_map(|word| word.parse().ok());
        let most: usize = most.unwrap_or_else(|| panic!("{name}: how many packages at most?"));
        let all = graph.all(&name);
        let count = all.len();
        assert!(count <= most, "{name} needs {count} packages: {all:?}");
        let strangers = OF_THE_PROGRAM.iter().filter(|of| all.contains(**of));
        assert!(name == "runu" || strangers.count() == 0, "{name}: {all:?}");
    }
    let monitor = graph.all("vmm");
    for stranger in ["tokio", "tonic", "oci-spec"] {
        assert!(!monitor.contains(stranger), "vmm needs {stranger}");
    }
}
