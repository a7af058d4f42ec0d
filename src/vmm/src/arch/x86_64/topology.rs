//! Where each vCPU stands: all are cores of one package, with one thread each. CPUID says so,
//! in the several ways that there are (Intel SDM volume 3, section 9.9; AMD APM volume 3,
//! appendix E).

use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

use super::cpuid::too_many_entries;
use crate::error::Error;

/// Leaf 0: the vendor's name. KVM knows both of those that follow AMD's manual.
const VENDOR: u32 = 0;
const AMD: [u32; 2] = [u32::from_le_bytes(*b"Auth"), u32::from_le_bytes(*b"Hygo")];

/// Leaf 1.
const EBX_BELOW_COUNT: u32 = 0xffff;
const EBX_LOGICAL_COUNT_SHIFT: u32 = 16;
const EBX_APIC_ID_SHIFT: u32 = 24;
const EDX_HYPER_THREADING: u32 = 1 << 28;

/// Leaf 4, and AMD's 0x8000_001d: the cache's level, how many threads share it, and (leaf 4
/// only) cores of the package, both less one.
const CACHE_LEVEL_SHIFT: u32 = 5;
const CACHE_LEVEL_MASK: u32 = 7;
const CACHE_SHARING_SHIFT: u32 = 14;
const CACHE_CORES_SHIFT: u32 = 26;
const CACHE_BELOW_SHARING: u32 = 0x3fff;
const MAX_CORES: u32 = 63;
/// The first cache level that belongs to the package rather than to a core.
const SHARED_LEVEL: u32 = 3;

/// Leaves 0xb and 0x1f: kinds of levels.
const EXTENDED_TOPOLOGY: u32 = 0xb;
const EXTENDED_TOPOLOGY_2: u32 = 0x1f;
const LEVEL_THREADS: u32 = 1 << 8;
const LEVEL_CORES: u32 = 2 << 8;

/// Leaf 0x8000_0001: the threads that leaf 1 counts are cores.
const ECX_COMPATIBLE_LEGACY: u32 = 1 << 1;
const APIC_ID_SIZE_SHIFT: u32 = 12;

/// One vCPU among `count`: its number is its local APIC's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Topology {
    pub id: u8,
    pub count: u8,
}

impl Topology {
    /// How many bits of an APIC ID tell the cores of a package apart.
    fn id_bits(self) -> u32 {
        u32::from(self.count).next_power_of_two().trailing_zeros()
    }

    /// The APIC IDs that those bits can hold.
    fn ids(self) -> u32 {
        1 << self.id_bits()
    }

    /// Makes `cpuid`, which is another vCPU's or the host's, say that the processor stands
    /// here.
    ///
    /// # Errors
    /// [`Error::Kvm`] where there are more entries than KVM takes.
    pub(crate) fn apply(self, cpuid: &mut CpuId) -> Result<(), Error> {
        let vendor = cpuid.as_slice().iter().find(|e| e.function == VENDOR);
        let is_amd = vendor.is_some_and(|entry| AMD.contains(&entry.ebx));
        for entry in cpuid.as_mut_slice() {
            self.adjust(entry, is_amd);
        }
        for leaf in [EXTENDED_TOPOLOGY, EXTENDED_TOPOLOGY_2] {
            if cpuid.as_slice().iter().any(|e| e.function == leaf) {
                cpuid.retain(|e| e.function != leaf);
                for level in self.levels(leaf) {
                    cpuid.push(level).map_err(too_many_entries)?;
                }
            }
        }
        Ok(())
    }

    fn adjust(self, entry: &mut kvm_cpuid_entry2, is_amd: bool) {
        let (id, count) = (u32::from(self.id), u32::from(self.count));
        match entry.function {
            0x1 => {
                entry.ebx = (entry.ebx & EBX_BELOW_COUNT)
                    | (self.ids().min(0xff) << EBX_LOGICAL_COUNT_SHIFT)
                    | (id << EBX_APIC_ID_SHIFT);
                set(&mut entry.edx, EDX_HYPER_THREADING, count > 1);
            }
            0x4 => entry.eax = self.cache(entry.eax, true),
            0x8000_001d => entry.eax = self.cache(entry.eax, false),
            0x8000_0001 if is_amd => set(&mut entry.ecx, ECX_COMPATIBLE_LEGACY, count > 1),
            // Intel's is reserved.
            0x8000_0008 => {
                entry.ecx = match is_amd {
                    true => (count - 1) | (self.id_bits() << APIC_ID_SIZE_SHIFT),
                    false => 0,
                };
            }
            // One thread for each core, one node for each package.
            0x8000_001e => (entry.eax, entry.ebx, entry.ecx) = (id, id, 0),
            _ => {}
        }
    }

    /// EAX of a cache's description.
    fn cache(self, eax: u32, with_cores: bool) -> u32 {
        let cache = eax & CACHE_BELOW_SHARING;
        if cache == 0 {
            return 0;
        }
        let is_shared = (cache >> CACHE_LEVEL_SHIFT) & CACHE_LEVEL_MASK >= SHARED_LEVEL;
        let sharing = if is_shared { self.ids() - 1 } else { 0 };
        let cores = match with_cores {
            true => (self.ids() - 1).min(MAX_CORES),
            false => 0,
        };
        cache | (sharing << CACHE_SHARING_SHIFT) | (cores << CACHE_CORES_SHIFT)
    }

    /// The subleaves of an extended topology leaf: threads of a core, cores of the package,
    /// and the end of the list.
    fn levels(self, function: u32) -> [kvm_cpuid_entry2; 3] {
        let level = |index, eax, ebx, kind| kvm_cpuid_entry2 {
            function,
            index,
            flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            eax,
            ebx,
            ecx: index | kind,
            edx: u32::from(self.id),
            ..Default::default()
        };
        [
            level(0, 0, 1, LEVEL_THREADS),
            level(1, self.id_bits(), u32::from(self.count), LEVEL_CORES),
            level(2, 0, 0, 0),
        ]
    }
}

fn set(register: &mut u32, bit: u32, on: bool) {
    match on {
        true => *register |= bit,
        false => *register &= !bit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(function: u32, index: u32) -> kvm_cpuid_entry2 {
        kvm_cpuid_entry2 {
            function,
            index,
            ..Default::default()
        }
    }

    fn described(topology: Topology, entries: &[kvm_cpuid_entry2]) -> CpuId {
        let mut cpuid = CpuId::from_entries(entries).unwrap();
        topology.apply(&mut cpuid).unwrap();
        cpuid
    }

    fn find(cpuid: &CpuId, function: u32, index: u32) -> kvm_cpuid_entry2 {
        let mut entries = cpuid.as_slice().iter();
        *entries
            .find(|e| (e.function, e.index) == (function, index))
            .unwrap()
    }

    const ALONE: Topology = Topology { id: 0, count: 1 };
    const THIRD_OF_SIX: Topology = Topology { id: 2, count: 6 };

    #[test]
    fn a_lone_processor_is_number_0_and_the_only_one() {
        let host = kvm_cpuid_entry2 {
            ebx: 0x0710_0800,
            edx: EDX_HYPER_THREADING | 1,
            ..entry(1, 0)
        };
        let leaf = find(&described(ALONE, &[host]), 1, 0);
        assert_eq!((leaf.ebx, leaf.edx), (0x0001_0800, 1));
    }

    #[test]
    fn each_of_several_knows_its_number_and_their_count() {
        let first = described(THIRD_OF_SIX, &[entry(1, 0), entry(0xb, 0), entry(0xb, 1)]);
        let leaf = find(&first, 1, 0);
        assert_eq!((leaf.ebx, leaf.edx), (0x0208_0000, EDX_HYPER_THREADING));
        let cores = find(&first, 0xb, 1);
        assert_eq!((cores.eax, cores.ebx, cores.ecx), (3, 6, 0x201));
        assert_eq!(cores.edx, 2, "the x2APIC ID");
        let threads = find(&first, 0xb, 0);
        assert_eq!((threads.eax, threads.ebx, threads.ecx), (0, 1, 0x100));
        let end = find(&first, 0xb, 2);
        assert_eq!((end.ebx, end.ecx), (0, 2));
        // Applied again, for the next vCPU, nothing is left of this one.
        let mut next = first.clone();
        Topology { id: 5, count: 6 }.apply(&mut next).unwrap();
        assert_eq!(next.as_slice().len(), first.as_slice().len());
        assert_eq!(find(&next, 1, 0).ebx, 0x0508_0000);
        assert_eq!(find(&next, 0xb, 0).edx, 5);
    }

    #[test]
    fn the_last_level_cache_is_shared_and_the_others_are_not() {
        let cache = |level: u32| kvm_cpuid_entry2 {
            eax: (31 << 26) | (15 << 14) | (level << 5) | 1,
            ..entry(4, level)
        };
        let cpuid = described(THIRD_OF_SIX, &[cache(1), cache(3), entry(4, 4)]);
        assert_eq!(find(&cpuid, 4, 1).eax, (7 << 26) | (1 << 5) | 1);
        assert_eq!(find(&cpuid, 4, 3).eax, (7 << 26) | (7 << 14) | (3 << 5) | 1);
        assert_eq!(find(&cpuid, 4, 4).eax, 0, "no cache");
    }

    #[test]
    fn amds_leaves_count_cores_and_intels_stay_reserved() {
        let vendor = |name| kvm_cpuid_entry2 {
            ebx: u32::from_le_bytes(name),
            ..entry(0, 0)
        };
        let leaves = |name| {
            let rest = [entry(0x8000_0001, 0), entry(0x8000_0008, 0)];
            let cpuid = described(THIRD_OF_SIX, &[vendor(name), rest[0], rest[1]]);
            [0x8000_0001, 0x8000_0008].map(|function| find(&cpuid, function, 0).ecx)
        };
        assert_eq!(leaves(*b"Auth"), [2, 0x3005]);
        assert_eq!(leaves(*b"Genu"), [0, 0]);
    }

    #[test]
    fn as_many_as_there_can_be_fit_into_their_fields() {
        let max = Topology {
            id: 253,
            count: 254,
        };
        let cache = kvm_cpuid_entry2 {
            eax: (3 << 5) | 1,
            ..entry(4, 3)
        };
        let cpuid = described(max, &[entry(1, 0), cache]);
        assert_eq!(find(&cpuid, 1, 0).ebx, 0xfdff_0000);
        assert_eq!(
            find(&cpuid, 4, 3).eax,
            (63 << 26) | (255 << 14) | (3 << 5) | 1
        );
    }
}
