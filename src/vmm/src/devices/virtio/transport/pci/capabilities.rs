//! What a function says of itself: its identity (virtio 1.2, section 4.1.2), its base address
//! registers and where its structures are in them (section 4.1.4).

use virtio_bindings::virtio_ids::*;

use super::msix;
use crate::bits::number;
use crate::devices::pci::config::{ConfigSpace, Identity, Space};
use crate::devices::pci::slot::{FUNCTION_MEMORY, FUNCTION_PORTS, PciSlot};
use crate::devices::virtio::transport::interface::Interface;

/// Red Hat's, for all virtio devices.
const VENDOR: u16 = 0x1af4;
/// Device IDs of devices without a legacy interface begin here.
const MODERN_DEVICE: u16 = 0x1040;
/// What such a device has for a subsystem, at the least; others have their virtio device ID.
const MODERN_SUBSYSTEM: u16 = 0x40;

/// The base address registers by number: the legacy interface's ports, and the memory of all
/// else.
pub(super) const PORTS: u8 = 0;
pub(super) const MEMORY: u8 = 1;

/// Bytes between the places where the driver notifies of one queue and of the next.
pub(super) const NOTIFY_MULTIPLIER: u32 = 4;

/// Bytes of each base address register.
pub(super) const SIZES: [u32; 2] = [FUNCTION_PORTS, FUNCTION_MEMORY];

/// The structures in memory, each in a page of its own: their numbers.
pub(super) const COMMON: u32 = 0;
pub(super) const ISR: u32 = 1;
pub(super) const DEVICE: u32 = 2;
pub(super) const NOTIFY: u32 = 3;
pub(super) const TABLE: u32 = 4;
pub(super) const PENDING: u32 = 5;
const PAGE: u32 = 0x1000;

/// The structure at an offset in memory, and the offset in that.
pub(super) fn region(offset: u32) -> (u32, usize) {
    (offset / PAGE, (offset % PAGE) as usize)
}

/// Where a structure begins.
pub(super) fn offset(region: u32) -> u32 {
    region * PAGE
}

/// Kinds of capabilities, and of structures.
const VENDOR_SPECIFIC: u8 = 0x09;
const MSIX: u8 = 0x11;
const COMMON_CFG: u8 = 1;
const NOTIFY_CFG: u8 = 2;
const ISR_CFG: u8 = 3;
const DEVICE_CFG: u8 = 4;
const PCI_CFG: u8 = 5;

/// Where in the configuration space a driver has something to write.
pub(super) struct CapabilityOffsets {
    /// The capability of MSI-X, whose second half word is the message control.
    pub msix: usize,
    /// The window to the base address registers: their number, the offset there, the length.
    pub window: [usize; 3],
    pub window_data: usize,
}

/// The configuration space of a device with this device ID, that offers no older interface than
/// `oldest`.
pub(super) fn config_space(
    (oldest, slot): (Interface, &PciSlot),
    id: u32,
    queues: usize,
) -> (ConfigSpace, CapabilityOffsets) {
    let legacy = match oldest {
        Interface::Legacy => legacy_device(id),
        Interface::Modern => None,
    };
    // Those of virtio 1.2 end at 42.
    let id = (id & 0xffff) as u16;
    let identity = Identity {
        vendor: VENDOR,
        device: legacy.unwrap_or(MODERN_DEVICE + id),
        subsystem: legacy.map_or(MODERN_SUBSYSTEM, |_| id),
        revision: match legacy {
            Some(_) => 0,
            None => 1,
        },
        class: class(id.into()),
    };
    let mut config = ConfigSpace::new(&identity, slot.irq);
    config.add_bar(Space::Ports, slot.ports, FUNCTION_PORTS);
    config.add_bar(Space::Memory, slot.memory, FUNCTION_MEMORY);
    let offsets = add_capabilities(&mut config, queues);
    (config, offsets)
}

/// The identity of a device that has a legacy interface too.
fn legacy_device(id: u32) -> Option<u16> {
    match id {
        VIRTIO_ID_NET => Some(0x1000),
        VIRTIO_ID_BLOCK => Some(0x1001),
        VIRTIO_ID_CONSOLE => Some(0x1003),
        VIRTIO_ID_RNG => Some(0x1005),
        VIRTIO_ID_9P => Some(0x1009),
        _ => None,
    }
}

/// The class: drivers do not look at it, those who list devices do.
fn class(id: u32) -> u32 {
    match id {
        VIRTIO_ID_NET => 0x02_0000,
        VIRTIO_ID_BLOCK | VIRTIO_ID_9P | VIRTIO_ID_FS => 0x01_8000,
        VIRTIO_ID_CONSOLE | VIRTIO_ID_VSOCK => 0x07_8000,
        _ => 0xff_0000,
    }
}

fn add_capabilities(config: &mut ConfigSpace, queues: usize) -> CapabilityOffsets {
    let in_memory = |region: u32| (offset(region) | u32::from(MEMORY)).to_le_bytes();
    // The table's size less one, for there is one more vector than queues; and where it and the
    // bits of the pending are.
    let control = number(queues).to_le_bytes();
    let body = [&control[..], &in_memory(TABLE), &in_memory(PENDING)].concat();
    let msix = config.add_capability(MSIX, &body);
    config.set_writable(msix + 2, &msix::WRITABLE_CONTROL.to_le_bytes());
    for (kind, region) in [(COMMON_CFG, COMMON), (ISR_CFG, ISR), (DEVICE_CFG, DEVICE)] {
        config.add_capability(VENDOR_SPECIFIC, &structure(kind, region, PAGE, None));
    }
    let multiplier = NOTIFY_MULTIPLIER.to_le_bytes();
    let notify = structure(NOTIFY_CFG, NOTIFY, PAGE, Some(multiplier));
    config.add_capability(VENDOR_SPECIFIC, &notify);
    let window = structure(PCI_CFG, 0, 0, Some([0; 4]));
    let window = config.add_capability(VENDOR_SPECIFIC, &window);
    let offsets = CapabilityOffsets {
        msix,
        window: [window + 4, window + 8, window + 12],
        window_data: window + 16,
    };
    config.set_writable(offsets.window[0], &[0xff]);
    config.set_writable(offsets.window[1], &[0xff; 12]);
    offsets
}

/// A capability that says where a structure is, and what follows that.
fn structure(kind: u8, region: u32, len: u32, more: Option<[u8; 4]>) -> Vec<u8> {
    let size = match more {
        Some(_) => 20,
        None => 16,
    };
    let mut body = vec![size, kind, MEMORY, 0, 0, 0];
    body.extend(offset(region).to_le_bytes());
    body.extend(len.to_le_bytes());
    body.extend(more.into_iter().flatten());
    body
}
