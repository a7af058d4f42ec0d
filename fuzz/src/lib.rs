//! What the fuzzers do with an input: `run` reads it as others' bytes are read, and panics
//! where something does not hold that must.
//!
//! `fuzz_targets/` hands this to libFuzzer, `tests/corpus.rs` calls it with the corpus. What
//! the fuzzers of virtio devices do is in vmm, `src/vmm/src/devices/virtio/fuzzing/`: it needs
//! what nobody else does.
//!
//! A fuzzer is built with the feature of what it fuzzes; the tests have all of them.

#[cfg(any(not(fuzzing), feature = "decision"))]
pub mod config;
#[cfg(any(not(fuzzing), feature = "decision"))]
pub mod decisions;
#[cfg(any(not(fuzzing), feature = "decision"))]
pub mod image_layout;
#[cfg(any(not(fuzzing), feature = "vmm"))]
pub mod kernel;
#[cfg(any(not(fuzzing), feature = "p9"))]
pub mod p9;
#[cfg(any(not(fuzzing), feature = "decision"))]
pub mod policy;
#[cfg(any(not(fuzzing), feature = "decision"))]
pub mod urunc_json;
