//! A machine's virtio devices, each in its place.

use std::os::fd::RawFd;
use std::sync::Arc;

use kvm_ioctls::{IoEventAddress, VmFd};
use virtio_bindings::virtio_mmio::VIRTIO_MMIO_QUEUE_NOTIFY;

use super::Device;
use super::block::Block;
use super::console::{Console, Port};
use super::mmio::Mmio;
use super::net::Net;
use super::rng::Rng;
use super::serving::Serving;
use crate::vmm::config::{BlockDevice, NetDevice};
use crate::vmm::devices::mmio_bus::{MmioBus, Slot};
use crate::vmm::error::Error;
use crate::vmm::memory::GuestMemory;
use crate::vmm::vm;

/// The devices that a guest gets, in the order in which it finds them. Some kernels take only
/// the first few: what they were given comes before what everybody has. `port` is the other
/// end of the console.
///
/// # Errors
/// For a device that is not as it must be.
pub fn devices(
    nets: Vec<NetDevice>,
    blocks: Vec<BlockDevice>,
    port: Port,
) -> Result<Vec<Box<dyn Device>>, Error> {
    let mut devices: Vec<Box<dyn Device>> = Vec::new();
    for net in nets {
        devices.push(Box::new(Net::new(net)?));
    }
    for block in blocks {
        devices.push(Box::new(Block::new(block)?));
    }
    devices.push(Box::new(Console::new(port)));
    devices.push(Box::new(Rng));
    Ok(devices)
}

/// How many devices [`devices`] gives a guest with so many of these.
pub fn count(nets: usize, blocks: usize) -> usize {
    // And the console and the entropy device.
    nets + blocks + 2
}

/// Devices behind their transport.
pub struct Attached {
    pub bus: MmioBus,
    /// For their threads.
    pub servings: Vec<Arc<Serving>>,
    /// All file descriptors that they need.
    pub descriptors: Vec<RawFd>,
}

/// Puts `devices` where the guest finds them.
///
/// # Errors
/// For more devices than there are places, and what KVM refuses.
pub fn attach(
    vm: &VmFd,
    memory: &GuestMemory,
    devices: Vec<Box<dyn Device>>,
) -> Result<Attached, Error> {
    let count = devices.len();
    let slots = Slot::first(count)?;
    let attached = slots.into_iter().zip(devices).map(|(slot, device)| {
        let irq = vm::irq(vm, slot.irq)?;
        let device = Mmio::new(device, memory.clone(), irq)?;
        let notify = IoEventAddress::Mmio(slot.gpa + u64::from(VIRTIO_MMIO_QUEUE_NOTIFY));
        for (queue, bell) in (0u32..).zip(&device.serving().bells().queues) {
            vm.register_ioevent(bell, &notify, queue)
                .map_err(Error::kvm("KVM_IOEVENTFD"))?;
        }
        Ok(device)
    });
    let devices: Vec<Mmio> = attached.collect::<Result<_, Error>>()?;
    Ok(Attached {
        servings: devices.iter().map(Mmio::serving).collect(),
        descriptors: devices.iter().flat_map(Mmio::descriptors).collect(),
        bus: MmioBus::new(devices),
    })
}
