//! The monitor through its public interface: tiny guests on the host's /dev/kvm.

mod code;
mod first_process;
mod guest;
mod kernels;
mod solo5;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use vmm::{BootAbi, Crash, GuestExit, KernelImage, MIN_MEMORY};
use vmm_sys_util::signal::{Killable, SIGRTMAX, SIGRTMIN, block_signal};

use code::*;
use guest::Guest;
use kernels::{ABIS, kernel};

#[test]
fn every_abi_is_recognised_and_gets_its_command_line_through() {
    for abi in ABIS {
        let kernel = kernel(abi, PRINT_CMDLINE);
        assert_eq!(KernelImage::probe(&kernel).unwrap().abi(), abi);
        let Some(guest) = Guest::start(kernel, "guest a=b -- c") else {
            return;
        };
        assert_eq!(
            guest.finish(),
            ("guest a=b -- c".to_owned(), GuestExit::Code(7)),
            "{abi}"
        );
    }
}

#[test]
fn input_longer_than_the_fifo_arrives_whole() {
    for abi in ABIS {
        let Some(mut guest) = Guest::start(kernel(abi, ECHO_LINE), "") else {
            return;
        };
        let line = format!("{}\n", "0123456789".repeat(50));
        guest.input.write_all(line.as_bytes()).unwrap();
        assert_eq!(guest.finish(), (line, GuestExit::Code(0)), "{abi}");
    }
}

#[test]
fn string_instructions_and_every_width_reach_the_ports() {
    for abi in ABIS {
        let Some(guest) = Guest::start(kernel(abi, STRING_IO), "hello, world") else {
            return;
        };
        let expected = ("hello".to_owned(), GuestExit::Code(0xff));
        assert_eq!(guest.finish(), expected, "{abi}");
        let Some(guest) = Guest::start(kernel(abi, EVERY_WIDTH), "") else {
            return;
        };
        assert_eq!(guest.finish().1, GuestExit::Code(3), "{abi}");
    }
}

/// The first byte past the memory, the hole below 4 GiB, its last bytes.
#[test]
fn where_no_memory_is_reads_float_and_writes_vanish() {
    for address in [MIN_MEMORY as u32, 0xc000_0000, 0xd800_0001, 0xffff_fff0] {
        let mut code = NOWHERE.to_vec();
        code[NOWHERE_ADDRESS].copy_from_slice(&address.to_le_bytes());
        for abi in ABIS {
            let Some(guest) = Guest::start(kernel(abi, &code), "") else {
                return;
            };
            assert_eq!(
                guest.finish().1,
                GuestExit::Code(0xff),
                "{abi}, {address:#x}"
            );
        }
    }
}

#[test]
fn ends_without_a_code_are_told_apart() {
    for (code, exit) in [
        (HALT, GuestExit::Crashed(Crash::Halted { rip: 0x10_0002 })),
        (
            TRIPLE_FAULT,
            GuestExit::Crashed(Crash::TripleFault {
                rip: Some(0x10_0000),
            }),
        ),
        (RESET, GuestExit::Reset),
    ] {
        for abi in ABIS {
            let Some(guest) = Guest::start(kernel(abi, code), "") else {
                return;
            };
            let (said, mut ended) = guest.finish();
            if let GuestExit::Crashed(Crash::TripleFault { rip }) = &mut ended {
                // An AMD vCPU is reset before anyone can see where it was.
                rip.get_or_insert(0x10_0000);
            }
            assert_eq!((said, ended), (String::new(), exit.clone()), "{abi}");
        }
    }
}

#[test]
fn a_signal_ends_a_spinning_guest_at_once() {
    let Some(mut guest) = Guest::start(kernel(BootAbi::Pvh, DOT_AND_SPIN), "") else {
        return;
    };
    // Once there is output the signal is no longer delivered but read.
    guest.output.read_exact(&mut [0]).unwrap();
    let sent = Instant::now();
    guest.machine.kill(SIGRTMIN() + 3).unwrap();
    let (_, exit) = guest.finish();
    assert_eq!(exit, GuestExit::Signalled(SIGRTMIN() + 3));
    assert!(
        sent.elapsed() < Duration::from_secs(2),
        "{:?}",
        sent.elapsed()
    );
}

/// A signal mask outlives execve: whoever calls may have blocked the very signal by which
/// the vCPU is made to stop.
#[test]
fn a_guest_can_be_ended_whatever_signals_the_caller_blocked() {
    let blocked = std::thread::spawn(|| {
        block_signal(SIGRTMAX()).unwrap();
        Guest::start(kernel(BootAbi::Pvh, DOT_AND_SPIN), "")
    });
    let Some(mut guest) = blocked.join().unwrap() else {
        return;
    };
    guest.output.read_exact(&mut [0]).unwrap();
    guest.machine.kill(SIGRTMIN() + 3).unwrap();
    assert_eq!(guest.finish().1, GuestExit::Signalled(SIGRTMIN() + 3));
}

#[test]
fn a_signal_ends_a_guest_whose_output_nobody_reads() {
    let Some(guest) = Guest::start(kernel(BootAbi::Pvh, DOTS), "") else {
        return;
    };
    // Long enough to fill the pipe; if not, the guest still writes, and the test holds.
    std::thread::sleep(Duration::from_millis(1500));
    guest.machine.kill(SIGRTMIN() + 3).unwrap();
    let exit = guest.machine.join().unwrap();
    assert_eq!(exit, GuestExit::Signalled(SIGRTMIN() + 3));
}
