//! Why a hypercall has no answer.

use std::io;

use nix::errno::Errno;

/// What is wrong with a hypercall that ends its guest: as the end of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HypercallFault {
    /// A structure or a buffer is not in the guest's memory.
    #[error("{len} bytes at {gpa:#x} are not in the guest's memory")]
    OutOfMemory {
        /// Guest-physical address of the first byte.
        gpa: u64,
        /// Bytes.
        len: u64,
    },
    /// A virtual address, of a kernel that gives such, leads nowhere.
    #[error("the virtual address {gva:#x} is not mapped")]
    NotMapped {
        /// The guest-virtual address.
        gva: u64,
    },
    /// The interface has no room for the arguments or the environment.
    #[error("{count} words, at most {max} have room")]
    TooManyArgs {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A write without an answer stopped before its end.
    #[error("the file takes no more")]
    ShortWrite,
    /// A write without an answer failed.
    #[error("{}", .0.desc())]
    Write(Errno),
    /// The interface has the call, the monitor has not.
    #[error("is not offered")]
    NotOffered,
    /// KVM does not give the vCPU's registers.
    #[error("{}", io::Error::from(*.0))]
    Registers(Errno),
}
