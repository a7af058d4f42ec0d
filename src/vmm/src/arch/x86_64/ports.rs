//! I/O ports and interrupt lines. Constants only.
//!
//! Most are where a PC or QEMU's PC has them, for guests that look nowhere else.

/// The first serial port, a 16550A, and its interrupt line.
pub(crate) const COM1: u16 = 0x3f8;
pub(crate) const COM1_IRQ: u32 = 4;

/// The keyboard controller, an Intel 8042: data, commands and status; and the keyboard's line.
pub(crate) const I8042_DATA: u16 = 0x60;
pub(crate) const I8042_COMMAND: u16 = 0x64;
pub(crate) const KEYBOARD_IRQ: u32 = 1;

/// The clock and its memory, a Motorola MC146818: which register, and its content.
pub(crate) const CMOS_INDEX: u16 = 0x70;
pub(crate) const CMOS_DATA: u16 = 0x71;

/// QEMU's `isa-debug-exit` as Nanos (8 bits) and Unikraft (16 bits) expect it.
pub(crate) const DEBUG_EXIT: u16 = 0x501;
/// QEMU's `isa-debug-exit` at Hermit's choice of port.
pub(crate) const HERMIT_EXIT: u16 = 0xf4;
/// QEMU's `pvpanic` device.
pub(crate) const PVPANIC: u16 = 0x505;

/// ACPI's PM1a_EVT: the status register, and two bytes on the enable register.
pub(crate) const PM1_EVENT: u16 = 0x600;
/// PM1a_CNT, where QEMU has it as well: some guests know no other place.
pub(crate) const PM1_CONTROL: u16 = 0x604;
/// The interrupt of ACPI's events.
pub(crate) const SCI: u8 = 9;

/// PCI's configuration mechanism 1: the address and the data register, 4 bytes each.
pub(crate) const PCI_ADDRESS: u16 = 0xcf8;
pub(crate) const PCI_DATA: u16 = 0xcfc;
/// In the middle of the address register, and reached by single bytes only: the reset control
/// register of Intel's chipsets.
pub(crate) const RESET_CONTROL: u16 = 0xcf9;
/// From here on ports are those of functions of the PCI bus, which a guest may move.
pub(crate) const PCI_FIRST_FREE: u16 = 0x1000;

/// The ISA interrupts of virtio devices with registers in memory, in their order: those that a
/// PC has free, none of them shared. Firecracker's guests look for the first at 5.
pub(crate) const MMIO_IRQS: [u32; 8] = [5, 6, 7, 10, 11, 12, 14, 15];
/// The interrupts of PCI devices, in their order; the ninth shares the first one's. All are a
/// PC's own, for kernels that know the 8259s only, and first come those that PCs give to PCI.
pub(crate) const PCI_IRQS: [u8; 8] = [10, 11, 5, 6, 7, 12, 14, 15];

/// The port of Solo5's hypercall 0: HVT_HYPERCALL_PIO_BASE (Solo5, include/hvt_abi.h).
pub(crate) const SOLO5_HYPERCALLS: u16 = 0x500;

/// Hermit's hypercalls of interface 1 (uhyve-interface, `v1::HypercallAddress`).
pub(crate) mod hermit_v1 {
    pub(crate) const WRITE: u16 = 0x400;
    pub(crate) const OPEN: u16 = 0x440;
    pub(crate) const CLOSE: u16 = 0x480;
    pub(crate) const READ: u16 = 0x500;
    pub(crate) const EXIT: u16 = 0x540;
    pub(crate) const LSEEK: u16 = 0x580;
    /// Three calls for a network that no monitor has offered for long.
    pub(crate) const NETWORK: [u16; 3] = [0x640, 0x680, 0x700];
    pub(crate) const CMDSIZE: u16 = 0x740;
    pub(crate) const CMDVAL: u16 = 0x780;
    pub(crate) const UART: u16 = 0x800;
    pub(crate) const UNLINK: u16 = 0x840;
    pub(crate) const SERIAL_BUFFER: u16 = 0x880;
}

/// Those of interfaces 2 and 3 (`v2::HypercallAddress`).
pub(crate) mod hermit_v2 {
    pub(crate) const EXIT: u16 = 0x1010;
    pub(crate) const SERIAL_BYTE: u16 = 0x1020;
    pub(crate) const SERIAL_BUFFER: u16 = 0x1030;
    /// Calls that no kernel makes yet, with their names.
    pub(crate) const NOT_OFFERED: [(u16, &str); 4] = [
        (0x1040, "serial_read_byte"),
        (0x1050, "serial_read_buffer"),
        (0x1200, "shared_mem_open"),
        (0x1210, "shared_mem_close"),
    ];
    pub(crate) const WRITE: u16 = 0x1100;
    pub(crate) const OPEN: u16 = 0x1110;
    pub(crate) const CLOSE: u16 = 0x1120;
    pub(crate) const READ: u16 = 0x1130;
    pub(crate) const LSEEK: u16 = 0x1140;
    pub(crate) const UNLINK: u16 = 0x1150;
    pub(crate) const GETDENTS: u16 = 0x1160;
    pub(crate) const STAT: u16 = 0x1170;
    pub(crate) const FSTAT: u16 = 0x1180;
    pub(crate) const MKDIR: u16 = 0x1190;
}
