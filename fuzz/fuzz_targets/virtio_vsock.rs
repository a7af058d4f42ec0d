#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| runu::vmm::trial::vsock(input));
