//! A virtual machine, from open files to the guest's end.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use super::arch::cpuid;
use super::arch::ports::{COM1_IRQ, KEYBOARD_IRQ, SCI};
use super::arch::registers::EntryState;
use super::arch::topology::Topology;
use super::config::MAX_VCPUS;
use super::console::{Console, Output};
use super::devices::legacy::pc::Pc;
use super::devices::legacy::serial::SerialPort;
use super::devices::mmio_bus::MmioBus;
use super::devices::port_bus::PortBus;
use super::devices::virtio::active_device::ActiveDevice;
use super::devices::virtio::attach::attach;
use super::devices::virtio::device::VirtioDevice;
use super::devices::virtio::devices::console::Port;
use super::devices::virtio::slots::DeviceSlots;
use super::devices::virtio::worker::Workers;
use super::error::Error;
use super::event_loop::{EndedBy, EventLoop};
use super::exit::{Crash, GuestExit};
use super::hypercall::Hypercalls;
use super::memory::{self, GuestMemory};
use super::shutdown::Shutdown;
use super::signals;
use super::stdio::Stdio;
use super::terminal::RawTerminal;
use super::vcpu::Vcpu;
use super::vcpu_threads::VcpuThreads;
use super::vm;

/// A machine whose guest is ready for its first instruction.
pub struct Machine {
    vcpus: Vec<Vcpu>,
    serial: SerialPort,
    pc: Pc,
    virtio: Vec<Arc<ActiveDevice>>,
    space: EventFd,
    ended: EventFd,
    descriptors: Vec<RawFd>,
    /// The other end of the virtio console; `None` where the guest makes hypercalls.
    port: Option<Port>,
    /// Kept open: with it go the interrupt lines.
    vm: Arc<VmFd>,
}

/// What a kernel finds beside memory and processors.
pub(crate) enum Peripherals {
    /// A PC's devices, and these virtio devices in their places; the other end of the console
    /// among them.
    Pc(DeviceSlots, Vec<Box<dyn VirtioDevice>>, Port),
    /// None: it calls its monitor.
    Calls(Hypercalls),
}

impl Peripherals {
    /// Where virtio devices are.
    pub(super) fn slots(&self) -> &DeviceSlots {
        static NOWHERE: DeviceSlots = DeviceSlots::NONE;
        match self {
            Peripherals::Pc(slots, ..) => slots,
            Peripherals::Calls(_) => &NOWHERE,
        }
    }
}

impl Machine {
    /// Makes the devices, and puts the first vCPU at the kernel's `entry`.
    ///
    /// # Errors
    /// What KVM refuses.
    pub(super) fn with_guest(
        kvm: &Kvm,
        vm: VmFd,
        fds: Vec<VcpuFd>,
        memory: GuestMemory,
        entry: &EntryState,
        peripherals: Peripherals,
    ) -> Result<Machine, Error> {
        let vm = Arc::new(vm);
        let (slots, devices, port, hypercalls) = match peripherals {
            Peripherals::Pc(slots, devices, port) => (slots, devices, Some(port), None),
            Peripherals::Calls(hypercalls) => {
                (DeviceSlots::NONE, Vec::new(), None, Some(hypercalls))
            }
        };
        // Kernels with hypercalls listen to no device.
        let irq = |line| match hypercalls {
            None => vm::irq(&vm, line),
            Some(_) => vm::event(),
        };
        let (com1, keyboard) = (irq(COM1_IRQ)?, irq(KEYBOARD_IRQ)?);
        let space = vm::event()?;
        let space_of_serial = space.try_clone().map_err(Error::EventFd)?;
        let ended = vm::event()?;
        let events = [&com1, &keyboard, &space, &space_of_serial, &ended];
        let events = events.map(AsRawFd::as_raw_fd);
        let serial = SerialPort::new(com1, space_of_serial);
        let pc = Pc::new(keyboard, vm::line(&vm, SCI.into()));
        let mut descriptors = vec![vm.as_raw_fd()];
        descriptors.extend(hypercalls.iter().flat_map(Hypercalls::descriptors));
        descriptors.extend(memory::descriptors(&memory));
        let virtio = attach(&vm, &memory, &slots, devices)?;
        descriptors.extend(virtio.descriptors);
        let bus = PortBus::new(serial.clone(), pc.clone(), virtio.pci);
        let buses = (bus, virtio.mmio);
        let vcpus = enter(kvm, fds, &memory, entry, &buses, hypercalls)?;
        descriptors.extend(vcpus.iter().map(AsRawFd::as_raw_fd));
        descriptors.extend(events);
        Ok(Machine {
            vcpus,
            serial,
            pc,
            virtio: virtio.active_devices,
            space,
            ended,
            descriptors,
            port,
            vm,
        })
    }

    /// The file descriptors that the machine needs to run, beside 0, 1 and 2: all others
    /// of the process may be closed.
    pub fn descriptors(&self) -> &[RawFd] {
        &self.descriptors
    }

    /// Runs the guest, with COM1 and the virtio console on this process's descriptors 0 and 1,
    /// until it ends or a signal ends it.
    ///
    /// The calling thread serves events; each vCPU and each virtio device has one of its own,
    /// gone when this returns. The signals that end a process stay blocked in the calling thread.
    pub fn run(self) -> GuestExit {
        self.run_on(Console::stdio())
    }

    /// As [`Machine::run`], with these on other files.
    pub fn run_on(self, console: Console) -> GuestExit {
        self.try_run(console).unwrap_or_else(|e| {
            GuestExit::Crashed(Crash::Monitor {
                reason: e.to_string(),
            })
        })
    }

    fn try_run(mut self, console: Console) -> io::Result<GuestExit> {
        let signals = signals::take_over()?;
        let stop = Arc::new(AtomicBool::new(false));
        let terminal = console.terminal();
        let (input, mut input_of_calls) = match self.port {
            Some(_) => (console.input, None),
            None => (None, console.input),
        };
        let _terminal = input.as_ref().and_then(RawTerminal::enter);
        let output = Output::new(console.output, stop.clone());
        // Calls are the first one's alone.
        for vcpu in &mut self.vcpus {
            vcpu.connect(output.clone(), input_of_calls.take());
        }
        if let Some(port) = &self.port {
            port.connect(output, self.space.try_clone()?);
        }
        let mut events = EventLoop {
            stdio: Stdio::new(input, terminal, self.serial, self.port),
            space: self.space,
            signals,
            ended: self.ended.try_clone()?,
            shutdown: Shutdown::new(self.pc, self.vm.clone()),
        };
        events.stdio.resize();
        let workers = Workers::start(self.virtio).map_err(io::Error::other)?;
        let vcpus = VcpuThreads::start(self.vcpus, self.ended, stop)?;
        let ended = events.run(&vcpus);
        let by_itself = vcpus.stop(|| workers.interrupt());
        drop(workers);
        Ok(match (ended?, by_itself) {
            (EndedBy::Signal(signal), _) => GuestExit::Signalled(signal),
            (EndedBy::Guest, Some(exit)) => events.shutdown.exit_of(exit),
            // Its threads end for no other reasons than those.
            (EndedBy::Guest, None) => GuestExit::PoweredOff,
        })
    }
}

/// Puts the first vCPU at the kernel's entry; it alone makes hypercalls, for the kernels that
/// make some know of no other.
fn enter(
    kvm: &Kvm,
    fds: Vec<VcpuFd>,
    memory: &GuestMemory,
    entry: &EntryState,
    buses: &(PortBus, MmioBus),
    mut hypercalls: Option<Hypercalls>,
) -> Result<Vec<Vcpu>, Error> {
    let tsc_khz = vm::tsc_khz(&fds);
    // No more were created than that.
    let count = u8::try_from(fds.len()).unwrap_or(MAX_VCPUS);
    let cpuid = cpuid::build(kvm, tsc_khz)?;
    tell_frequency(memory, entry, tsc_khz)?;
    let vcpu = |(id, fd)| {
        let topology = Topology { id, count };
        let memory = memory.clone();
        Vcpu::new(
            fd,
            memory,
            topology,
            cpuid.clone(),
            entry,
            buses.clone(),
            hypercalls.take(),
        )
    };
    (0..).zip(fds).map(vcpu).collect()
}

/// Writes the TSC's frequency where the kernel wants to be told it in memory.
fn tell_frequency(memory: &GuestMemory, entry: &EntryState, khz: Option<u32>) -> Result<(), Error> {
    let Some(gpa) = entry.frequency else {
        return Ok(());
    };
    let hertz = u64::from(khz.ok_or(Error::NoTscFrequency)?) * 1000;
    memory
        .write_obj(hertz, GuestAddress(gpa))
        .map_err(Error::guest_memory(gpa))
}
