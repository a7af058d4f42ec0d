//! The fuzzers' corpus by what the fuzzers do, on any compiler. `make fuzz` goes on from it.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;
use std::fs;
use std::panic::catch_unwind;

use fuzz::decisions::POLICIES;

/// Gives every input of a fuzzer's corpus to what it runs.
fn feed(corpus: &str, run: fn(&[u8])) {
    let dir = harness::repository().join("fuzz/corpus").join(corpus);
    let inputs: Vec<_> = fs::read_dir(&dir).unwrap().collect();
    assert!(inputs.len() > 5, "{} has no corpus", dir.display());
    for input in inputs {
        let path = input.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        assert!(catch_unwind(|| run(&bytes)).is_ok(), "{}", path.display());
    }
}

#[test]
fn config_json() {
    feed("config", fuzz::config::run);
}

#[test]
fn image_layouts() {
    feed("image_layout", fuzz::image_layout::run);
}

#[test]
fn kernels() {
    feed("kernel", fuzz::kernel::any);
    feed("kernel_bzimage", fuzz::kernel::bzimage);
    feed("kernel_elf", fuzz::kernel::elf);
    feed("kernel_hermit", fuzz::kernel::hermit);
    feed("kernel_solo5", fuzz::kernel::solo5);
}

#[test]
fn p9_frames() {
    feed("p9", fuzz::p9::run);
}

#[test]
fn policy_files() {
    feed("policy", fuzz::policy::run);
}

#[test]
fn urunc_json() {
    feed("urunc_json", fuzz::urunc_json::run);
}

/// `make fuzz` gives each fuzzer its dictionary, and starts from its corpus.
#[test]
fn every_fuzzer_has_a_dictionary_and_a_corpus() {
    let dir = harness::repository().join("fuzz");
    let targets: Vec<_> = fs::read_dir(dir.join("fuzz_targets")).unwrap().collect();
    assert!(targets.len() > 10, "{targets:?}");
    for target in targets {
        let name = target.unwrap().file_name().into_string().unwrap();
        let name = name.strip_suffix(".rs").unwrap();
        assert!(dir.join(format!("{name}.dict")).is_file(), "{name}.dict");
        assert!(dir.join("corpus").join(name).is_dir(), "corpus/{name}");
    }
}

/// A new example is one of those that the fuzzers decide by.
#[test]
fn every_example_is_asked() {
    let examples = harness::repository().join("policy/examples");
    let examples = fs::read_dir(examples).unwrap().count();
    assert_eq!(POLICIES.len(), examples + 1);
}
