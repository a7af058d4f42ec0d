//! What a fuzzer does with a device: an input is what a driver writes into memory and in which
//! order it notifies, and what meanwhile happens at the device's other end.
//!
//! A device that its driver breaks is reset, as a transport has it. Whatever comes, nothing here
//! panics, reaches out of the guest's memory or goes on for ever.
//!
//! | module | what is in it |
//! |---|---|
//! | [`input`] | what the fuzzer's bytes mean |
//! | [`devices`] | the network, block and console devices |
//! | [`vsock`] | the socket device |
//! | [`transport`] | the registers of all transports |

mod devices;
mod input;
mod transport;
mod vsock;

pub use devices::{block, console, net};
pub use transport::transport;
pub use vsock::vsock;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;

    use super::*;
    use crate::boot::testing::Random;

    /// What the fuzzers have found, and go on from.
    #[test]
    fn the_corpus() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
        let runs: [fn(&[u8]); 5] = [net, block, console, vsock, transport];
        for (name, run) in ["net", "block", "console", "vsock", "transport"]
            .into_iter()
            .zip(runs)
        {
            let dir = format!("{corpus}/virtio_{name}");
            let inputs: Vec<_> = fs::read_dir(dir).unwrap().collect();
            assert!(inputs.len() > 5, "{name} has no corpus");
            for input in inputs {
                let path = input.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                let result = catch_unwind(|| run(&bytes));
                assert!(result.is_ok(), "{}", path.display());
            }
        }
    }

    /// Inputs by chance, from short to long.
    #[test]
    fn whatever_a_driver_does_nothing_breaks_but_its_device() {
        let mut random = Random::new();
        for round in 0..600 {
            let input: Vec<u8> = (0..round).map(|_| random.number() as u8).collect();
            for run in [net, block, console, vsock, transport] {
                run(&input);
            }
        }
    }
}
