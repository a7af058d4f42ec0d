//! All of the guest's memory is taken, in the guest, after many of its files were looked at.

use std::fs;

use nix::sys::sysinfo::sysinfo;

/// What is left to the guest's kernel, in bytes.
const REST: usize = 4 << 20;

pub fn all_memory_is_taken() {
    for file in fs::read_dir("/many").unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().len(), 0);
    }
    let free = sysinfo().unwrap().ram_unused() as usize;
    let mut taken = vec![0u8; free - REST];
    taken.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    assert!(taken.iter().step_by(4096).all(|byte| *byte == 1));
}
