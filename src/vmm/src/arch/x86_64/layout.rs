//! Where things lie in the guest's physical memory at boot. Constants only.
//!
//! The kernels look for none of these addresses: each is told where its own
//! structures are. Unikraft, OSv and Nanos were built against monitors that use
//! this layout (Firecracker's), so this one keeps to it.

/// Bytes of a page.
pub(crate) const PAGE_SIZE: u64 = 4096;

/// The global descriptor table, and past it an empty interrupt descriptor table.
pub(crate) const GDT: u64 = 0x500;
pub(crate) const IDT: u64 = 0x520;

/// The page for what PVH and Multiboot guests are told: first the structure itself
/// (`hvm_start_info`, or Multiboot's information), then what it points to.
pub(crate) const BOOT_INFO: u64 = 0x6000;
pub(crate) const MODULE_LIST: u64 = 0x6100;
pub(crate) const MEMORY_MAP: u64 = 0x6200;
pub(crate) const LOADER_NAME: u64 = 0x6300;
pub(crate) const MODULE_NAME: u64 = 0x6320;

/// Linux's `boot_params`, one page (Documentation/arch/x86/zero-page.rst).
pub(crate) const ZERO_PAGE: u64 = 0x7000;

/// The stack pointer at entry, with most of a page below it. No ABI here but
/// Linux's promises one; Nanos pushes before it sets its own.
pub(crate) const BOOT_STACK: u64 = 0x8ff0;

/// Identity-mapping page tables: one PML4, one PDPT, and a page directory for each of
/// the first four GiB, in pages of 2 MiB. Linux asks for the kernel, the zero page
/// and the command line to be mapped; with 4 GiB the initrd is as well.
pub(crate) const PML4: u64 = 0x9000;
pub(crate) const PDPT: u64 = 0xa000;
pub(crate) const PAGE_DIRECTORIES: u64 = 0xb000;
pub(crate) const MAPPED_GIB: u64 = 4;

/// The command line and its terminating zero byte.
pub(crate) const CMDLINE: u64 = 0x2_0000;
/// The most bytes that the command line may have, with its zero byte. Unikraft takes
/// 4096, Linux 2048 (COMMAND_LINE_SIZE in arch/x86/include/asm/setup.h).
pub(crate) const CMDLINE_MAX: usize = 4096;

/// The first address past all of the above; no kernel segment may start below.
pub(crate) const BOOT_AREA_END: u64 = CMDLINE + CMDLINE_MAX as u64;

/// Conventional memory ends here; up to 1 MiB the PC has its BIOS data, video memory
/// and ROMs, which guests do not take for memory.
pub(crate) const LOW_RAM_END: u64 = 0x9_fc00;
pub(crate) const HIGH_RAM_START: u64 = 0x10_0000;

/// ACPI's tables: the root pointer where BIOSes have it and kernels look for it (ACPI
/// specification 6.5, section 5.2.5.1), the rest behind it. No kernel segment may lie here.
pub(crate) const ACPI_TABLES: u64 = 0xe_0000;
pub(crate) const ACPI_TABLES_END: u64 = 0xf_0000;

/// The local APIC of the vCPU that looks, and the I/O APIC, where KVM has them.
pub(crate) const LOCAL_APIC: u32 = 0xfee0_0000;
pub(crate) const IO_APIC: u32 = 0xfec0_0000;

/// The registers of virtio devices, one window of 4 KiB behind the other.
pub(crate) const VIRTIO: u64 = 0xd000_0000;

/// Where the functions of the PCI bus have their ports and their memory before a guest moves
/// them, and the last of each.
pub(crate) const PCI_PORTS: u16 = 0xc000;
pub(crate) const PCI_PORTS_LAST: u16 = 0xdfff;
pub(crate) const PCI_MEMORY: u32 = 0xe000_0000;
pub(crate) const PCI_MEMORY_LAST: u32 = 0xe0ff_ffff;

/// No memory lies here: the local APIC (0xfee0_0000), the I/O APIC (0xfec0_0000), and
/// room for devices.
pub(crate) const HOLE_START: u64 = 3 << 30;
pub(crate) const HOLE_END: u64 = 4 << 30;

/// Three pages for KVM's own use on Intel processors, in the hole and clear of
/// every device (KVM_SET_TSS_ADDR in Documentation/virt/kvm/api.rst).
pub(crate) const KVM_TSS: usize = 0xfffb_d000;
