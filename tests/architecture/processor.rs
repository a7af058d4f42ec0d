//! What is x86's is in `vmm/src/arch`: nothing outside names a port, a model-specific register or
//! a CPUID leaf.

use std::collections::BTreeSet;
use std::fs;

use super::files;

/// The numbers in a line of code, written in hexadecimal.
fn hexadecimals(code: &str) -> Vec<u64> {
    let numbers = code.split("0x").skip(1).filter_map(|after| {
        let digits = after.chars().filter(|c| *c != '_');
        let digits: String = digits.take_while(char::is_ascii_hexdigit).collect();
        u64::from_str_radix(&digits, 16).ok()
    });
    numbers.collect()
}

/// A line without its comment and its texts.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap();
    line.split('"').step_by(2).collect()
}

#[test]
fn nothing_outside_arch_names_a_port_a_register_or_a_leaf() {
    let src = harness::repository().join("src/vmm/src");
    let read = |path: &std::path::Path| fs::read_to_string(path).unwrap();
    let ports = read(&src.join("arch/x86_64/ports.rs"));
    let lines = ports.lines().filter(|line| line.contains("u16"));
    let ports: BTreeSet<u64> = lines.flat_map(|line| hexadecimals(&code(line))).collect();
    // Smaller ones are registers' offsets, too.
    let ports: BTreeSet<u64> = ports.into_iter().filter(|port| *port >= 0x3f8).collect();
    assert!(
        ports.contains(&0x3f8) && ports.contains(&0xcf8),
        "{ports:x?}"
    );

    let is_leaf = |number: u64| matches!(number >> 8, 0x40_0000 | 0x80_0000);
    let mut seen = 0;
    for file in files(&src) {
        let path = file.strip_prefix(&src).unwrap().to_str().unwrap();
        let for_tests = ["test", "fuzzing", "fake", "corrupt"];
        if path.starts_with("arch/") || for_tests.iter().any(|word| path.contains(word)) {
            continue;
        }
        let text = read(&file);
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for line in text.lines().map(code) {
            seen += 1;
            let names = ["MSR_", "IA32_", "CPUID_"].iter();
            let name = names.copied().find(|name| line.contains(name));
            let kvms = line.contains("KVM_");
            assert!(name.is_none() || kvms, "{path}: {line}");
            let numbers = hexadecimals(&line);
            let mut numbers = numbers.iter();
            let is_one = |number: &&u64| {
                (line.contains("u16") && ports.contains(number))
                    || (line.contains("u32") && is_leaf(**number))
            };
            let number = numbers.find(is_one);
            assert_eq!(number, None, "{path}: {line}");
        }
    }
    assert!(seen > 9000, "the test sees {seen} lines");
}
