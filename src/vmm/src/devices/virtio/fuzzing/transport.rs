//! What a fuzzer does with the transports: an input is accesses to registers, of any width, and
//! what a driver writes into memory. Behind them are an entropy device and a network.

use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use vm_memory::{Bytes, GuestAddress};

use super::input::Input;
use crate::config::NetDevice;
use crate::devices::pci::bus::{ADDRESS, DATA, PciBus};
use crate::devices::pci::config::Space;
use crate::devices::pci::intx::IntxPin;
use crate::devices::pci::slot::PciSlot;
use crate::devices::virtio::active_device::ActiveDevice;
use crate::devices::virtio::device::VirtioDevice;
use crate::devices::virtio::devices::net::Net;
use crate::devices::virtio::devices::rng::Rng;
use crate::devices::virtio::ioeventfds::NoIoEventFds;
use crate::devices::virtio::transport::interface::Interface;
use crate::devices::virtio::transport::mmio::MmioTransport;
use crate::devices::virtio::transport::pci::function::PciTransport;
use crate::devices::virtio::worker;
use crate::devices::virtio::worker::Wait;
use crate::memory;
use crate::memory::{GuestMemory, MIN_MEMORY};

/// Where the shortest way to DRIVER_OK puts the rings of the first queue: descriptors, available
/// and used buffers.
const RINGS: [u64; 3] = [0x1_0000, 0x1_1000, 0x1_2000];
const PAGE: u64 = 0x1000;
const ENTRIES: u64 = 16;

/// A device behind a transport.
enum Transport {
    Mmio(Interface, MmioTransport),
    Pci(PciBus, PciSlot),
}

/// All of it.
struct Fixture {
    transport: Transport,
    memory: GuestMemory,
    active: Arc<ActiveDevice>,
}

/// Register accesses by any transport.
///
/// # Panics
/// Where something does not hold that must.
pub fn transport(input: &[u8]) {
    let mut input = Input(input);
    let kind = input.u8();
    let (network, _other) = UnixDatagram::pair().expect("sockets");
    let device: Box<dyn VirtioDevice> = match kind & 4 {
        0 => Box::new(Rng),
        _ => {
            let net = Net::new(NetDevice {
                name: "eth0".to_owned(),
                packets: network.into(),
                mac: [2, 0, 0, 0, 0, 1],
                mtu: 1500,
            });
            Box::new(net.expect("a device"))
        }
    };
    let fixture = match kind & 3 {
        0 => Fixture::over_mmio(Interface::Modern, device),
        1 => Fixture::over_mmio(Interface::Legacy, device),
        _ => Fixture::over_pci(device),
    };
    while !input.0.is_empty() {
        fixture.step(&mut input);
    }
}

impl Fixture {
    fn over_mmio(interface: Interface, device: Box<dyn VirtioDevice>) -> Fixture {
        let memory = memory::allocate(MIN_MEMORY).expect("memory");
        let irq = crate::vm::event().expect("an event");
        let slot = (interface, 0xd000_0000);
        let mmio = MmioTransport::new(slot, device, memory.clone(), irq, Box::new(NoIoEventFds));
        let mmio = mmio.expect("a device");
        Fixture {
            active: mmio.active_device(),
            transport: Transport::Mmio(interface, mmio),
            memory,
        }
    }

    fn over_pci(device: Box<dyn VirtioDevice>) -> Fixture {
        let memory = memory::allocate(MIN_MEMORY).expect("memory");
        let slots = PciSlot::allocate(1).expect("a slot");
        let pin = IntxPin::new(Box::new(|_| ()));
        let message = Box::new(|address: u64, _| {
            assert_eq!(address & 0xfff0_0000, 0xfee0_0000, "no local APIC's");
        });
        let signals = (pin, message as _);
        let ioeventfds = Box::new(NoIoEventFds);
        let function = PciTransport::new(
            (Interface::Legacy, &slots[0]),
            device,
            memory.clone(),
            signals,
            ioeventfds,
        );
        let function = function.expect("a function");
        Fixture {
            active: function.active_device(),
            transport: Transport::Pci(PciBus::new(vec![Box::new(function)]), slots[0]),
            memory,
        }
    }

    fn step(&self, input: &mut Input<'_>) {
        let (kind, offset) = (input.u8(), u64::from(input.u16()));
        let width = 1 << (kind >> 6);
        match kind & 0x3f {
            0..8 => self.read(offset, width),
            8..24 => self.write(offset, &input.take::<8>()[..width]),
            24..28 => self.write_ports(offset, &input.take::<8>()[..width]),
            28..36 => self.write_config(offset, &input.take::<8>()[..width]),
            36..48 => {
                let (gpa, bytes) = (input.gpa(), input.take::<16>());
                let _ = self.memory.write_slice(&bytes, GuestAddress(gpa));
            }
            48..56 => worker::poll_once(&self.active, Wait::DontWait),
            56..60 => self.come_up(),
            _ => self.reset(),
        }
    }

    fn read(&self, offset: u64, width: usize) {
        let mut data = vec![0; width];
        match &self.transport {
            Transport::Mmio(_, mmio) => mmio.read(offset % PAGE, &mut data),
            Transport::Pci(bus, slot) => {
                bus.read_at(Space::Memory, u64::from(slot.memory) + offset, &mut data);
                bus.read_at(Space::Ports, u64::from(slot.ports) + offset, &mut data);
                bus.read(DATA + (offset & 3) as u16, &mut data);
            }
        }
    }

    fn write(&self, offset: u64, data: &[u8]) {
        match &self.transport {
            Transport::Mmio(_, mmio) => mmio.write(offset % PAGE, data),
            Transport::Pci(bus, slot) => {
                bus.write_at(Space::Memory, u64::from(slot.memory) + offset, data);
            }
        }
    }

    fn write_ports(&self, offset: u64, data: &[u8]) {
        match &self.transport {
            Transport::Mmio(_, mmio) => mmio.write(offset % 0x100, data),
            Transport::Pci(bus, slot) => {
                bus.write_at(Space::Ports, u64::from(slot.ports) + offset % 0x100, data);
            }
        }
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        if let Transport::Pci(bus, _) = &self.transport {
            let address = 0x8000_0800 | (offset & 0xfc) as u32;
            bus.write(ADDRESS, &address.to_le_bytes());
            bus.write(DATA + (offset & 3) as u16, data);
        }
    }

    /// The shortest way to a device at work, whatever stood there before.
    fn come_up(&self) {
        let writes: Vec<(u64, u64, usize)> = match &self.transport {
            Transport::Mmio(Interface::Modern, _) => {
                let [table, available, used] = RINGS;
                let negotiate = [
                    (0x70, 0),
                    (0x70, 3),
                    (0x24, 1),
                    (0x20, 1),
                    (0x70, 11),
                    (0x30, 0),
                ];
                let queue = [
                    (0x38, ENTRIES),
                    (0x80, table),
                    (0x90, available),
                    (0xa0, used),
                ];
                let start = [(0x44, 1), (0x70, 15)];
                let all = [&negotiate[..], &queue, &start].concat();
                all.into_iter().map(|(at, value)| (at, value, 4)).collect()
            }
            Transport::Mmio(Interface::Legacy, _) => {
                let negotiate = [(0x70, 0), (0x70, 3), (0x28, PAGE), (0x30, 0)];
                let queue = [
                    (0x38, ENTRIES),
                    (0x3c, PAGE),
                    (0x40, RINGS[0] / PAGE),
                    (0x70, 7),
                ];
                let all = [negotiate, queue].concat();
                all.into_iter().map(|(at, value)| (at, value, 4)).collect()
            }
            Transport::Pci(..) => {
                let [table, available, used] = RINGS;
                let negotiate = [(20, 0, 1), (20, 3, 1), (8, 1, 4), (12, 1, 4), (20, 11, 1)];
                let queue = [
                    (22, 0, 2),
                    (24, ENTRIES, 2),
                    (32, table, 8),
                    (40, available, 8),
                ];
                let start = [(48, used, 8), (28, 1, 2), (20, 15, 1)];
                [&negotiate[..], &queue, &start].concat()
            }
        };
        for (at, value, width) in writes {
            self.write(at, &value.to_le_bytes()[..width]);
        }
    }

    /// After a reset nothing is in use any more.
    fn reset(&self) {
        match &self.transport {
            Transport::Mmio(..) => self.write(0x70, &[0; 4]),
            // Wherever its registers have gone.
            Transport::Pci(..) => {
                self.write_config(0x04, &[3]);
                self.write_config(0x14, &0xe000_0000u32.to_le_bytes());
                self.write(20, &[0]);
            }
        }
        let content = || {
            let mut bytes = vec![0; 0x1_0000];
            let read = self.memory.read_slice(&mut bytes, GuestAddress(0x1_0000));
            read.expect("memory");
            bytes
        };
        let before = content();
        worker::poll_once(&self.active, Wait::DontWait);
        assert!(!self.active.needs_reset() && before == content());
    }
}
