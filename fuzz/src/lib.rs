//! What the fuzzers do with an input: `run` reads it as others' bytes are read, and panics
//! where something does not hold that must.
//!
//! `fuzz_targets/` hands this to libFuzzer, `tests/corpus.rs` calls it with the corpus. What
//! the fuzzers of virtio devices do is in vmm, `src/vmm/src/devices/virtio/fuzzing/`: it needs
//! what nobody else does.

pub mod config;
pub mod decisions;
pub mod image_layout;
pub mod kernel;
pub mod p9;
pub mod policy;
pub mod urunc_json;
