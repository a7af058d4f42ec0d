//! ACPI tables (ACPI specification 6.5, chapters 5 and 18 to 20): what processors and interrupt
//! controllers there are, how to power off, and the devices that no bus lists.
//!
//! Neither memory map names the place of these tables: it is no memory for anybody.

mod dsdt;
mod table;

use acpi_tables::Aml;
use acpi_tables::facs::FACS;
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{EnabledStatus, IoApic, ProcessorLocalApic};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use vm_memory::{Bytes, GuestAddress};

use super::layout::{ACPI_TABLES, ACPI_TABLES_END, IO_APIC, LOCAL_APIC};
use super::ports::{I8042_COMMAND, PM1_CONTROL, PM1_EVENT, SCI};
use crate::bits::low;
use crate::devices::legacy::i8042::PULSE_RESET;
use crate::devices::virtio::slots::DeviceSlots;
use crate::error::Error;
use crate::memory::GuestMemory;
use table::{OEM_ID, OEM_REVISION, OEM_TABLE_ID, append, new_table};

/// The FACS must lie at a multiple of 64 bytes; the others may as well.
const ALIGNMENT: u64 = 64;
/// The header of the MADT.
const MADT_HEADER: u32 = 44;

/// FADT, "IA-PC Boot Architecture Flags": devices of a PC's ISA bus, a keyboard controller, no
/// VGA.
const BOOT_FLAGS: u16 = (1 << 0) | (1 << 1) | (1 << 2);
/// MADT, "Multiple APIC Flags": there are 8259s as well.
const PCAT_COMPAT: u32 = 1 << 0;
/// MADT, "MPS INTI Flags" of an interrupt source override: active high, level-triggered.
const HIGH_LEVEL: u16 = 0b11_01;
const SOURCE_OVERRIDE: u8 = 2;
const ISA_BUS: u8 = 0;

/// Writes the tables of a machine with `vcpus` processors, and virtio devices in these
/// `slots`.
///
/// # Errors
/// [`Error::GuestMemory`], in a machine smaller than any that can be asked for.
pub(crate) fn write(memory: &GuestMemory, vcpus: u8, slots: &DeviceSlots) -> Result<(), Error> {
    let mut writer = Writer {
        memory,
        next: ACPI_TABLES + Rsdp::len() as u64,
    };
    let facs = writer.put(&FACS::new())?;
    let dsdt = writer.put(&dsdt::table(slots))?;
    let fadt = writer.put(&fadt(facs, dsdt))?;
    let madt = writer.put(&madt(vcpus))?;
    let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = writer.put(&xsdt)?;
    writer.next = ACPI_TABLES;
    writer.put(&Rsdp::new(OEM_ID, xsdt)).map(drop)
}

/// Puts one table behind the other.
struct Writer<'a> {
    memory: &'a GuestMemory,
    next: u64,
}

impl Writer<'_> {
    /// Writes a table, and gives its guest-physical address.
    fn put(&mut self, table: &dyn Aml) -> Result<u64, Error> {
        let mut bytes = Vec::new();
        table.to_aml_bytes(&mut bytes);
        let gpa = self.next.next_multiple_of(ALIGNMENT);
        self.next = gpa + bytes.len() as u64;
        debug_assert!(self.next <= ACPI_TABLES_END, "sized for the most vCPUs");
        self.memory
            .write_slice(&bytes, GuestAddress(gpa))
            .map_err(Error::guest_memory(gpa))?;
        Ok(gpa)
    }
}

/// The fixed hardware: power management registers, the SCI, the reset register.
fn fadt(facs: u64, dsdt: u64) -> impl Aml {
    // Below 1 MiB: both fit in 32 bits.
    let mut fadt = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .firmware_ctrl_32(low(facs))
        .dsdt_32(low(dsdt))
        .flag(Flags::Wbinvd)
        // No sleep button, and a clock that wakes nobody: with these bits they are not here.
        .flag(Flags::SlpButton)
        .flag(Flags::FixRtc)
        .flag(Flags::ResetRegSup);
    // There is no SMI command port: the machine is in ACPI mode from the beginning.
    fadt.acpi_enable = 0;
    fadt.sci_int = u16::from(SCI).into();
    fadt.pm1a_evt_blk = u32::from(PM1_EVENT).into();
    fadt.pm1_evt_len = 4;
    fadt.pm1a_cnt_blk = u32::from(PM1_CONTROL).into();
    fadt.pm1_cnt_len = 2;
    fadt.iapc_boot_arch = BOOT_FLAGS.into();
    fadt.reset_reg = GAS::new(
        AddressSpace::SystemIo,
        8,
        0,
        AccessSize::ByteAccess,
        I8042_COMMAND.into(),
    );
    fadt.reset_value = PULSE_RESET;
    fadt.finalize()
}

/// The processors, and how interrupts reach them. KVM joins ISA interrupt N and pin N of the
/// I/O APIC, also the timer's.
fn madt(vcpus: u8) -> Sdt {
    let mut madt = new_table(*b"APIC", MADT_HEADER, 5);
    madt.write_u32(36, LOCAL_APIC);
    madt.write_u32(40, PCAT_COMPAT);
    for id in 0..vcpus {
        append(
            &mut madt,
            &ProcessorLocalApic::new(id, id, EnabledStatus::Enabled),
        );
    }
    append(&mut madt, &IoApic::new(0, IO_APIC, 0));
    let sci = [SOURCE_OVERRIDE, 10, ISA_BUS, SCI];
    madt.append_slice(
        &[
            &sci[..],
            &u32::from(SCI).to_le_bytes(),
            &HIGH_LEVEL.to_le_bytes(),
        ]
        .concat(),
    );
    madt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Transport;
    use crate::memory;

    /// A table that was written, whose checksum holds.
    fn table_at(memory: &GuestMemory, gpa: u64) -> Vec<u8> {
        let len: u32 = memory.read_obj(GuestAddress(gpa + 4)).unwrap();
        let mut table = vec![0; len as usize];
        memory.read_slice(&mut table, GuestAddress(gpa)).unwrap();
        let sum = table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!((sum, gpa % 64), (0, 0), "{:?}", &table[..4]);
        table
    }

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    fn u32_at(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    /// The FADT and the MADT, by way of the root pointer.
    fn written(vcpus: u8, transport: Transport, devices: usize) -> (GuestMemory, Vec<u8>, Vec<u8>) {
        let memory = memory::allocate(memory::MIN_MEMORY).unwrap();
        let slots = DeviceSlots::allocate(transport, devices).unwrap();
        write(&memory, vcpus, &slots).unwrap();
        let mut rsdp = [0; 36];
        memory
            .read_slice(&mut rsdp, GuestAddress(0xe_0000))
            .unwrap();
        assert_eq!(&rsdp[..8], b"RSD PTR ");
        let xsdt = table_at(&memory, u64_at(&rsdp, 24));
        let tables = [36, 44].map(|at| table_at(&memory, u64_at(&xsdt, at)));
        let [fadt, madt] = tables;
        assert_eq!((&fadt[..4], &madt[..4]), (&b"FACP"[..], &b"APIC"[..]));
        (memory, fadt, madt)
    }

    #[test]
    fn the_fixed_hardware_is_where_the_ports_are() {
        let (memory, fadt, _) = written(1, Transport::Mmio, 2);
        assert_eq!((u32_at(&fadt, 56), u32_at(&fadt, 64)), (0x600, 0x604));
        assert_eq!((fadt[46], fadt[88], fadt[89]), (9, 4, 2), "SCI and lengths");
        assert_eq!(
            &fadt[116..129],
            &[1, 8, 0, 1, 0x64, 0, 0, 0, 0, 0, 0, 0, 0xfe]
        );
        let facs: [u8; 4] = memory
            .read_obj(GuestAddress(u32_at(&fadt, 36).into()))
            .unwrap();
        assert_eq!(&facs, b"FACS");
        let dsdt = table_at(&memory, u32_at(&fadt, 40).into());
        // Name (_S5_, Package (4) {5, 5, 0, 0})
        let s5 = b"\x08_S5_\x12\x08\x04\x0a\x05\x0a\x05\x00\x00";
        let has = |what: &[u8]| dsdt.windows(what.len()).any(|w| w == what);
        assert!(has(s5), "{dsdt:x?}");
        // Name (_UID, 1)
        assert!(has(b"VIO1") && has(b"\x08_UID\x01") && !has(b"VIO2"));
    }

    #[test]
    fn the_pci_bus_has_windows_and_routes() {
        let (memory, fadt, _) = written(1, Transport::Pci, 2);
        let dsdt = table_at(&memory, u32_at(&fadt, 40).into());
        let has = |what: &[u8]| dsdt.windows(what.len()).any(|w| w == what);
        assert!(has(b"PCI0") && !has(b"VIO0"));
        // Package (4) {0x1ffff, 0, 0, 10}, and of the second device 11.
        assert!(has(b"\x12\x0b\x04\x0c\xff\xff\x01\x00\x00\x00\x0a\x0a"));
        assert!(has(b"\x12\x0b\x04\x0c\xff\xff\x02\x00\x00\x00\x0a\x0b"));
        // A window of memory: granularity, first, last, translation, length.
        let window = [0, 0xe000_0000, 0xe0ff_ffff, 0, 0x100_0000u32];
        assert!(has(window.map(u32::to_le_bytes).as_flattened()));
        assert!(has([0, 0xc000, 0xdfff, 0, 0x2000u16]
            .map(u16::to_le_bytes)
            .as_flattened()));
    }

    #[test]
    fn every_processor_is_listed_and_the_most_of_them_fit() {
        for vcpus in [1, 4, 254] {
            let (memory, _, madt) = written(vcpus, Transport::Pci, 31);
            let processors = madt[44..].chunks(8).take(vcpus.into());
            for (id, processor) in (0..).zip(processors) {
                assert_eq!(processor, [0, 8, id, id, 1, 0, 0, 0]);
            }
            let rest = &madt[44 + 8 * usize::from(vcpus)..];
            assert_eq!(&rest[..8], [1, 12, 0, 0, 0, 0, 0xc0, 0xfe]);
            assert_eq!(&rest[12..], [2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0]);
            let past: u64 = memory.read_obj(GuestAddress(ACPI_TABLES_END)).unwrap();
            assert_eq!(past, 0);
        }
    }
}
