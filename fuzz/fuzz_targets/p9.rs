#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| runu_fuzz::p9::run(input));
