//! The DSDT: the devices that no bus lists, in ACPI's own language (ACPI specification 6.5,
//! chapters 19 and 20).

use acpi_tables::Aml;
use acpi_tables::aml::{
    self, AddressSpace, AddressSpaceCacheable, EISAName, IO, Interrupt, Memory32Fixed, Name, Path,
    ResourceTemplate,
};
use acpi_tables::sdt::Sdt;

use super::table::{Raw, append, new_table};
use crate::arch::layout::{PCI_MEMORY, PCI_MEMORY_LAST, PCI_PORTS, PCI_PORTS_LAST};
use crate::arch::ports::{I8042_COMMAND, I8042_DATA, KEYBOARD_IRQ, PCI_ADDRESS, PVPANIC};
use crate::bits::low;
use crate::devices::legacy::power::SLEEP_TYPE_S5;
use crate::devices::pci::slot::PciSlot;
use crate::devices::virtio::slots::DeviceSlots;
use crate::devices::virtio::transport::mmio_slot::{MmioSlot, WINDOW};

/// The common header, bytes.
const HEADER: u32 = 36;

/// The table of a machine with virtio devices in these `slots`.
pub(super) fn table(slots: &DeviceSlots) -> Sdt {
    let mut dsdt = new_table(*b"DSDT", HEADER, 2);
    append(&mut dsdt, &s5());
    let keyboard = [
        &IO::new(I8042_DATA, I8042_DATA, 1, 1) as &dyn Aml,
        &IO::new(I8042_COMMAND, I8042_COMMAND, 1, 1),
        &Interrupt::new(true, true, false, false, KEYBOARD_IRQ),
    ];
    let id = EISAName::new("PNP0303");
    append(&mut dsdt, &device("_SB_.KBD_", &id, 0, &keyboard));
    let pvpanic = [&IO::new(PVPANIC, PVPANIC, 1, 1) as &dyn Aml];
    append(&mut dsdt, &device("_SB_.PEVT", &"QEMU0001", 0, &pvpanic));
    match slots {
        DeviceSlots::Mmio(_, slots) => slots.iter().for_each(|s| append(&mut dsdt, &virtio(s))),
        DeviceSlots::Pci(_, slots) => append(&mut dsdt, &pci_bus(slots)),
    }
    dsdt
}

/// A virtio device by memory-mapped registers.
fn virtio(slot: &MmioSlot) -> impl Aml {
    let resources = [
        // Below 4 GiB, and so in 32 bits.
        &Memory32Fixed::new(true, low(slot.gpa), low(WINDOW)) as &dyn Aml,
        &Interrupt::new(true, true, false, false, slot.irq),
    ];
    let path = format!("_SB_.VIO{}", slot.index);
    device(&path, &"LNRO0005", slot.index, &resources)
}

/// The PCI bus: its numbers, ports and memory, and which interrupt each device's pin A is.
fn pci_bus(slots: &[PciSlot]) -> impl Aml {
    let resources = [
        &AddressSpace::new_bus_number(0u16, 0) as &dyn Aml,
        &IO::new(PCI_ADDRESS, PCI_ADDRESS, 1, 8),
        &AddressSpace::new_io(PCI_PORTS, PCI_PORTS_LAST, None),
        &AddressSpace::new_memory(
            AddressSpaceCacheable::NotCacheable,
            true,
            PCI_MEMORY,
            PCI_MEMORY_LAST,
            None,
        ),
    ];
    let routes: Vec<_> = slots.iter().map(route).collect();
    let routes = aml::Package::new(routes.iter().map(|route| route as &dyn Aml).collect());
    let routes = Name::new("_PRT".into(), &routes);
    let id = EISAName::new("PNP0A03");
    device_with("_SB_.PCI0", &id, 0, &resources, &[&routes])
}

/// One entry of _PRT (section 6.2.13): any function of the device, pin A, an interrupt.
fn route(slot: &PciSlot) -> impl Aml + use<> {
    const ANY_FUNCTION: u32 = 0xffff;
    let address = u32::from(slot.device) << 16 | ANY_FUNCTION;
    let route = aml::Package::new(vec![&address, &aml::ZERO, &aml::ZERO, &slot.irq]);
    let mut bytes = Vec::new();
    route.to_aml_bytes(&mut bytes);
    Raw(bytes)
}

/// `\_S5`: the sleep types that power off.
fn s5() -> impl Aml {
    let package = aml::Package::new(vec![&SLEEP_TYPE_S5, &SLEEP_TYPE_S5, &aml::ZERO, &aml::ZERO]);
    let mut bytes = Vec::new();
    Name::new("_S5_".into(), &package).to_aml_bytes(&mut bytes);
    Raw(bytes)
}

/// A device that is present and enabled, with its fixed resources. Those of one `hid` differ by
/// their number.
fn device(path: &str, hid: &dyn Aml, number: u8, resources: &[&dyn Aml]) -> impl Aml + use<> {
    device_with(path, hid, number, resources, &[])
}

/// As above, with more to it.
fn device_with(
    path: &str,
    hid: &dyn Aml,
    number: u8,
    resources: &[&dyn Aml],
    more: &[&dyn Aml],
) -> impl Aml + use<> {
    let name = |name: &str, value: &dyn Aml| Name::new(name.into(), value);
    let status: u8 = 0xf;
    let device = [
        &name("_HID", hid) as &dyn Aml,
        &name("_UID", &number),
        &name("_STA", &status),
        &name("_CRS", &ResourceTemplate::new(resources.to_vec())),
    ];
    let device = [&device, more].concat();
    let mut bytes = Vec::new();
    aml::Device::new(Path::new(path), device).to_aml_bytes(&mut bytes);
    Raw(bytes)
}
