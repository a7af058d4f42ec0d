//! What the tests of several subjects share.
//!
//! Everything a test makes lies in a temporary directory or is named by a guard
//! that removes it when the test ends, well or not.
// What `new` makes here is a process or a namespace: nothing that a default would be.
#![allow(clippy::new_without_default)]

pub mod bundle;
pub mod bzimage;
pub mod containerd;
pub mod elf;
pub mod guard;
pub mod http;
pub mod images;
pub mod layout;
pub mod linux;
pub mod loop_device;
pub mod mounted;
pub mod netns;
pub mod pod;
pub mod program;
pub mod resolver;
pub mod terminal;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The repository, or the directory that holds its `fixtures` where the tests run
/// elsewhere (`RUNU_TEST_DIR`: the emulated machine).
pub fn repository() -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("");
    std::env::var_os("RUNU_TEST_DIR").map_or_else(here, PathBuf::from)
}

/// The program under test: `RUNU_TEST_BIN`, or what cargo builds of the sources as they are.
pub fn runu() -> PathBuf {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(build);
    std::env::var_os("RUNU_TEST_BIN").map_or_else(|| BUILT.clone(), PathBuf::from)
}

/// Builds `target/<target>/<profile>/runu`, beside `target/<target>/<profile>/deps/<test>`: to
/// cargo, a test is not made of another package's program.
fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let dir = test.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(repository());
    cargo.args(["build", "--quiet", "--locked", "--package", "runu"]);
    if dir.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success(), "runu does not build");
    dir.join("runu")
}

/// A test guest's kernel, built by `make -C fixtures/guests`.
pub fn guest(name: &str, abi: &str) -> PathBuf {
    let path = repository()
        .join("fixtures/bin")
        .join(format!("{name}-{abi}"));
    assert!(
        path.is_file(),
        "{} is not there: make -C fixtures/guests",
        path.display()
    );
    path
}

/// These bytes compressed by gzip.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The cgroups of this name, at the top of any hierarchy.
pub fn cgroups(name: &str) -> Vec<PathBuf> {
    let top = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(&top).into_iter().flatten();
    let dirs = hierarchies.map(|entry| entry.unwrap().path()).chain([top]);
    dirs.map(|dir| dir.join(name))
        .filter(|cgroup| cgroup.exists())
        .collect()
}

/// Says why a test cannot run here and gives true; where all must run
/// (`RUNU_TEST_REQUIRE_ALL`), fails it instead.
pub fn skip(why: &str) -> bool {
    let all = std::env::var_os("RUNU_TEST_REQUIRE_ALL").is_some();
    assert!(!all, "cannot run here: {why}");
    let test = std::thread::current().name().unwrap_or("").to_owned();
    let line = format!("SKIPPED {test}: {why}\n");
    // Not eprintln: the test runner hides what a passed test prints with it.
    let _ = std::io::stderr().write_all(line.as_bytes());
    true
}

/// Whether what boots a guest is missing, said aloud: root, /dev/kvm.
pub fn cannot_boot() -> bool {
    if !nix::unistd::geteuid().is_root() {
        return skip("this test makes namespaces and cgroups: it needs root");
    }
    match std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
    {
        Ok(_) => false,
        Err(e) => skip(&format!("/dev/kvm: {e}")),
    }
}

/// Whether there is no virtiofsd, said aloud.
pub fn no_virtiofsd() -> bool {
    let places = [
        "virtiofsd",
        "/usr/libexec/virtiofsd",
        "/usr/lib/qemu/virtiofsd",
    ];
    let is_there = places.iter().any(|place| which::which(place).is_ok());
    !is_there && skip("there is no virtiofsd: Debian 12 has it in qemu-system-common")
}
