//! What can be wrong with a kernel file.

use std::io;

use super::size::Size;

/// A fault of a kernel file. The messages do not name the path: the caller, who
/// knows it, puts it in front.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A file of no bytes.
    #[error("the kernel is an empty file")]
    Empty,

    /// A directory, a device or the like.
    #[error("the kernel is not a regular file")]
    NotAFile,

    /// The file ends before what its headers say is in it.
    #[error("the kernel is truncated: its {part} end at byte {needs}, the file has {size} bytes")]
    Truncated {
        /// What lies past the end, in the plural.
        part: &'static str,
        /// The least bytes that the file would have.
        needs: u64,
        /// The bytes that it has.
        size: u64,
    },

    /// Another processor's kernel.
    #[error("the kernel is built for {found}, this monitor runs x86 and x86-64")]
    WrongMachine {
        /// The processor's common name.
        found: String,
    },

    /// No boot protocol's kernel.
    #[error(
        "the kernel is of no known boot ABI: {found}; looked for a note of Solo5's, Hermit's or PVH's, \
         a Multiboot1 header, a 64-bit ELF entry and a bzImage's header"
    )]
    NotAKernel {
        /// What it is instead: a sentence.
        found: &'static str,
    },

    /// A Solo5 kernel for another target than hvt.
    #[error("the kernel is built for Solo5's {target}: build it for hvt, or virtio with Multiboot")]
    Solo5Target {
        /// Solo5's name for the target.
        target: &'static str,
    },

    /// A Solo5 kernel for another version of hvt's ABI.
    #[error("the kernel speaks version {version} of Solo5's hvt ABI, this monitor version 2")]
    Solo5Version {
        /// The kernel's.
        version: u32,
    },

    /// A bzImage from before boot protocol 2.12.
    #[error(
        "the kernel is a Linux of boot protocol {major}.{minor:02}, this monitor needs 2.12: \
         use Linux 3.8 or a later one"
    )]
    OldLinux {
        /// The boot protocol's version, before the point.
        major: u16,
        /// The same, behind it.
        minor: u16,
    },

    /// A bzImage without a 64-bit entry.
    #[error("the kernel is a 32-bit Linux, this monitor runs 64-bit ones: use one for x86-64")]
    Linux32,

    /// A Hermit kernel that wants other boot information.
    #[error("the kernel has version {version} of Hermit's entry, this monitor has 4")]
    HermitEntry {
        /// The kernel's; 0: it names none.
        version: u8,
    },

    /// A Hermit kernel that makes other hypercalls.
    #[error("the kernel has version {version} of uhyve's interface, this monitor has 1, 2 and 3")]
    HermitInterface {
        /// The kernel's.
        version: u32,
    },

    /// A header, a table or a container format that breaks its rules.
    #[error("the kernel's {part} cannot be read: {source}")]
    BadHeader {
        /// Which.
        part: &'static str,
        /// How.
        source: HeaderError,
    },

    /// A segment with impossible numbers, or in a place that is taken.
    #[error("the kernel's segment at {gpa:#x} ({size} bytes) {fault}")]
    BadSegment {
        /// Guest-physical address of its first byte.
        gpa: u64,
        /// Bytes in memory.
        size: u64,
        /// What is wrong: the sentence's verb and what follows.
        fault: &'static str,
    },

    /// An entry point that leads nowhere.
    #[error("the kernel's entry point {entry:#x} lies {fault}")]
    BadEntry {
        /// Guest-physical address.
        entry: u64,
        /// Where that is.
        fault: &'static str,
    },

    /// What unpacks to more than is kept in memory.
    #[error("the kernel is gzip-compressed, and unpacked it has more than {}: ship it unpacked", Size(*max))]
    UnpacksTooLarge {
        /// The most bytes of an unpacked kernel.
        max: u64,
    },

    /// The file system does not give the file's bytes, or the system no memory for a copy.
    #[error("the kernel cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl KernelError {
    /// A part of the file that cannot be what it is to be.
    pub(crate) fn bad_header(part: &'static str, source: impl Into<HeaderError>) -> KernelError {
        let source = source.into();
        KernelError::BadHeader { part, source }
    }
}

/// Why a part of a kernel file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum HeaderError {
    /// The ELF reader cannot make sense of it.
    Elf(#[from] object::Error),
    /// It breaks a rule of its format; the text says which.
    #[error("{0}")]
    Format(&'static str),
    /// What it is packed in is damaged.
    Damaged(#[from] io::Error),
    /// The description of a Hermit image is no text.
    #[error("hermit.toml: {0}")]
    NotText(#[from] std::str::Utf8Error),
    /// The description of a Hermit image is not one.
    #[error("hermit.toml: {}", .0.message())]
    NotToml(#[from] toml::de::Error),
}

impl From<&'static str> for HeaderError {
    fn from(rule: &'static str) -> HeaderError {
        HeaderError::Format(rule)
    }
}
