//! A machine's virtio devices, each in its slot.

use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

use kvm_ioctls::VmFd;

use super::active_device::ActiveDevice;
use super::device::VirtioDevice;
use super::slots::DeviceSlots;
use super::transport::mmio_slot::MmioSlot;
use crate::config::{self, BlockDevice, NetDevice, ServedShare, Share};
use crate::devices::mmio_bus::MmioBus;
use crate::devices::pci::bus::PciBus;
use crate::devices::pci::device::PciDevice;
use crate::devices::pci::intx::IntxPin;
use crate::devices::pci::slot::PciSlot;
use crate::devices::virtio::devices::block::Block;
use crate::devices::virtio::devices::console::{Console, Port};
use crate::devices::virtio::devices::fs::Fs;
use crate::devices::virtio::devices::net::Net;
use crate::devices::virtio::devices::p9::P9;
use crate::devices::virtio::devices::rng::Rng;
use crate::devices::virtio::devices::vsock::Vsock;
use crate::devices::virtio::transport::interface::Interface;
use crate::devices::virtio::transport::mmio::MmioTransport;
use crate::devices::virtio::transport::pci::function::PciTransport;
use crate::error::Error;
use crate::memory::GuestMemory;
use crate::vm;

/// The devices that a guest gets, in the order in which it finds them. Some kernels take only
/// the first few: what they were given comes before what everybody has. `port` is the other
/// end of the console.
///
/// # Errors
/// For a device that is not as it must be.
pub(crate) fn devices(
    nets: Vec<NetDevice>,
    blocks: Vec<BlockDevice>,
    shares: Vec<Share>,
    served: Vec<ServedShare>,
    vsock: Option<config::Vsock>,
    port: Port,
) -> Result<Vec<Box<dyn VirtioDevice>>, Error> {
    let mut devices: Vec<Box<dyn VirtioDevice>> = Vec::new();
    for net in nets {
        devices.push(Box::new(Net::new(net)?));
    }
    for block in blocks {
        devices.push(Box::new(Block::new(block)?));
    }
    for share in shares {
        devices.push(Box::new(P9::new(share)?));
    }
    for share in served {
        devices.push(Box::new(Fs::new(share)?));
    }
    if let Some(vsock) = vsock {
        devices.push(Box::new(Vsock::new(vsock)?));
    }
    devices.push(Box::new(Console::new(port)));
    devices.push(Box::new(Rng));
    Ok(devices)
}

/// Devices behind their transport.
pub(crate) struct Attached {
    pub mmio: MmioBus,
    pub pci: PciBus,
    /// For their threads.
    pub active_devices: Vec<Arc<ActiveDevice>>,
    /// All file descriptors that they need, beside the machine's own.
    pub descriptors: Vec<RawFd>,
}

/// Attaches `devices` to their `slots`, of which there are as many.
///
/// # Errors
/// What KVM refuses.
pub(crate) fn attach(
    vm: &Arc<VmFd>,
    memory: &GuestMemory,
    slots: &DeviceSlots,
    devices: Vec<Box<dyn VirtioDevice>>,
) -> Result<Attached, Error> {
    match slots {
        DeviceSlots::Mmio(interface, slots) => attach_mmio(vm, memory, *interface, slots, devices),
        DeviceSlots::Pci(oldest, slots) => attach_pci(vm, memory, *oldest, slots, devices),
    }
}

fn attach_mmio(
    vm: &Arc<VmFd>,
    memory: &GuestMemory,
    interface: Interface,
    slots: &[MmioSlot],
    devices: Vec<Box<dyn VirtioDevice>>,
) -> Result<Attached, Error> {
    let attached = slots.iter().zip(devices).map(|(slot, device)| {
        let irq = vm::irq(vm, slot.irq)?;
        let ioeventfds = Box::new(vm.clone());
        MmioTransport::new(
            (interface, slot.gpa),
            device,
            memory.clone(),
            irq,
            ioeventfds,
        )
    });
    let devices: Vec<MmioTransport> = attached.collect::<Result<_, Error>>()?;
    let pci = PciBus::default();
    Ok(Attached {
        active_devices: devices.iter().map(MmioTransport::active_device).collect(),
        descriptors: devices
            .iter()
            .flat_map(MmioTransport::descriptors)
            .collect(),
        mmio: MmioBus::new(devices, pci.clone()),
        pci,
    })
}

fn attach_pci(
    vm: &Arc<VmFd>,
    memory: &GuestMemory,
    oldest: Interface,
    slots: &[PciSlot],
    devices: Vec<Box<dyn VirtioDevice>>,
) -> Result<Attached, Error> {
    crate::arch::interrupts::trigger_by_level(vm, slots.iter().map(|slot| slot.irq))?;
    let mut functions: Vec<Box<dyn PciDevice>> = Vec::new();
    let mut active_devices = Vec::new();
    let mut pins: HashMap<u8, IntxPin> = HashMap::new();
    for (slot, device) in slots.iter().zip(devices) {
        let pin = match pins.get(&slot.irq) {
            Some(pin) => pin.next(),
            None => IntxPin::new(vm::line(vm, slot.irq.into())),
        };
        pins.insert(slot.irq, pin.clone());
        let signals = (pin, vm::messages(vm));
        let ioeventfds = Box::new(vm.clone());
        let slot = (oldest, slot);
        let function = PciTransport::new(slot, device, memory.clone(), signals, ioeventfds)?;
        active_devices.push(function.active_device());
        functions.push(Box::new(function));
    }
    let pci = PciBus::new(functions);
    Ok(Attached {
        mmio: MmioBus::new(Vec::new(), pci.clone()),
        pci,
        descriptors: active_devices
            .iter()
            .flat_map(|s| s.descriptors())
            .collect(),
        active_devices,
    })
}
