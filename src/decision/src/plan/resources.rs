//! How much of the host a guest gets: memory and vCPUs.

use std::fmt;

use crate::facts::quantity::display;
use crate::facts::{Facts, SharedError, Source, Sourced};
use guest::Root;
use vmm::{self, BootAbi, KernelImage, MAX_VCPUS, MIN_MEMORY};

/// More than the guest can have, or less than it needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceFault {
    /// More vCPUs than a guest has.
    #[error("{origin} asks for {asked} vCPUs: a guest has {max} at most")]
    Vcpus {
        /// What asks for them.
        origin: Source,
        /// How many.
        asked: u64,
        /// The most.
        max: u8,
    },
    /// Several vCPUs for a kernel that uses one.
    #[error("{origin} asks for {asked} vCPUs: a kernel of the ABI {abi} uses one: ask for 1")]
    OneVcpu {
        /// What asks for them.
        origin: Source,
        /// How many.
        asked: u64,
        /// How the kernel is entered.
        abi: BootAbi,
    },
    /// More memory than the container may use.
    #[error(
        "{origin} asks for {}, the container's memory limit of {} leaves {} beside the monitor",
        display(*asked), display(*limit), display(*left)
    )]
    OverLimit {
        /// What asks for it.
        origin: Source,
        /// Bytes.
        asked: u64,
        /// The container's limit in bytes.
        limit: u64,
        /// What the monitor leaves of that, in bytes.
        left: u64,
    },
    /// Less memory than any guest has.
    #[error("{from} gives the guest {}: {} is the least", display(*memory), display(MIN_MEMORY))]
    TooLittle {
        /// What gives it.
        from: MemorySource,
        /// Bytes.
        memory: u64,
    },
    /// The kernel and its initrd do not fit into it.
    #[error("{from} gives the guest {}: {why}", display(*memory))]
    DoesNotFit {
        /// What gives it.
        from: MemorySource,
        /// Bytes.
        memory: u64,
        /// What does not fit.
        #[source]
        why: SharedError<vmm::Error>,
    },
}

/// What says how much memory a guest gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemorySource {
    /// A setting.
    Setting(Source),
    /// `linux.resources.memory.limit`.
    Limit,
    /// [`DEFAULT_MEMORY`].
    Default,
}

impl fmt::Display for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(origin) => origin.fmt(f),
            Self::Limit => f.write_str("the container's memory limit, less the monitor's share,"),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// What the monitor takes of the container's memory limit, in bytes: its own pages,
/// and the page tables of a guest of about that size; and virtiofsd, where that serves the root.
///
/// Measured, on an emulating KVM, with guests that touch all their memory: 1.2 MiB and
/// 4.5 MiB for each GiB. The rest is room for the tables of a KVM that keeps its own.
/// virtiofsd (QEMU's): 2.3 MiB, and for each file that the guest knows of 0.35 KiB and the
/// host's inode, which on an overlay of ext4 is some 2 KiB; larger guests know more files.
pub fn overhead(limit: u64, root: Root) -> u64 {
    let virtiofsd = match root {
        Root::Virtiofs => (8 << 20) + limit / 64,
        _ => 0,
    };
    (8 << 20) + limit / 128 + virtiofsd
}

/// The guest's memory where neither the pod nor an annotation says anything,
/// in bytes.
pub const DEFAULT_MEMORY: u64 = 128 << 20;

/// The guest's virtual CPUs: as many as are asked for, or else as the container's quota can
/// keep busy, at most the host's.
pub(super) fn vcpus(facts: &Facts, abi: BootAbi) -> Result<u8, ResourceFault> {
    let max = if abi.uses_several_vcpus() {
        MAX_VCPUS
    } else {
        1
    };
    let Some(Sourced {
        value: asked,
        origin,
    }) = facts.guest_config.vcpus.clone()
    else {
        let quota = facts.cpu_limit.unwrap_or(1).min(facts.host_cpus);
        return Ok(u8::try_from(quota).unwrap_or(MAX_VCPUS).clamp(1, max));
    };
    match u8::try_from(asked) {
        Ok(vcpus @ 1..) if vcpus <= max => Ok(vcpus),
        _ if max == 1 => Err(ResourceFault::OneVcpu { origin, asked, abi }),
        _ => Err(ResourceFault::Vcpus { origin, asked, max }),
    }
}

/// The guest's memory in bytes, in whole pages.
///
/// # Errors
/// For more than the container may use, and for less than kernel and initrd need.
pub(super) fn memory(facts: &Facts, image: &KernelImage, root: Root) -> Result<u64, ResourceFault> {
    let (memory, from) = available(facts, image, root)?;
    let initrd = facts.initrd.as_ref().map_or(0, |initrd| initrd.size);
    image
        .check_fits(initrd, memory)
        .and_then(|()| image.memory_size(memory))
        .map_err(|why| ResourceFault::DoesNotFit {
            from,
            memory,
            why: why.into(),
        })
}

/// The guest's memory in bytes, and what gives it.
fn available(
    facts: &Facts,
    image: &KernelImage,
    root: Root,
) -> Result<(u64, MemorySource), ResourceFault> {
    let left = facts
        .memory_limit
        .map(|limit| (limit, limit.saturating_sub(overhead(limit, root))));
    let (memory, from) = match (facts.guest_config.memory.clone(), left) {
        (Some(Sourced { value, origin }), Some((limit, left))) if value > left => {
            return Err(ResourceFault::OverLimit {
                origin,
                asked: value,
                limit,
                left,
            });
        }
        (Some(Sourced { value, origin }), _) => (value, MemorySource::Setting(origin)),
        (None, Some((_, left))) => (left.min(image.max_memory()), MemorySource::Limit),
        (None, None) => (DEFAULT_MEMORY, MemorySource::Default),
    };
    if memory < MIN_MEMORY {
        return Err(ResourceFault::TooLittle { from, memory });
    }
    // Whole pages.
    Ok((memory & !0xfff, from))
}
