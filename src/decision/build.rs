//! Puts the default policy into the program as JSON: every `create` reads it, and
//! config.json has serde_json at work already, while a reader of TOML would be one more.

use std::path::PathBuf;
use std::{env, fs};

const POLICY: &str = "../../policy/default.toml";

fn main() {
    println!("cargo::rerun-if-changed={POLICY}");
    let text = fs::read_to_string(POLICY).expect(POLICY);
    let policy: toml::Table = toml::from_str(&text).expect(POLICY);
    let json = serde_json::to_string(&policy).expect("TOML's tables are JSON's objects");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("default.json"), json).expect("a directory that cargo has made");
}
