//! A virtual machine, from open files to the guest's end.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kvm_bindings::{KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE, kvm_enable_cap};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use nix::libc::{EFD_CLOEXEC, EFD_NONBLOCK, EINTR};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

use super::boot::image::{BootAbi, KernelImage};
use super::boot::layout::KVM_TSS;
use super::boot::{self, EntryState, Given};
use super::config::{Files, MAX_VCPUS, MachineConfig};
use super::console::{Console, Input, Output};
use super::cpuid;
use super::devices::board::Board;
use super::devices::bus::PortBus;
use super::devices::i8042::KEYBOARD_IRQ;
use super::devices::mmio_bus::{MmioBus, Slot};
use super::devices::power::{Line, SCI};
use super::devices::serial::{COM1_IRQ, SerialPort};
use super::devices::virtio::mmio::Mmio;
use super::devices::virtio::rng::Rng;
use super::error::Error;
use super::event_loop::{EndedBy, EventLoop};
use super::exit::{Crash, GuestExit};
use super::hypercall::Hypercalls;
use super::hypercall::hermit::{Hermit, Root};
use super::hypercall::solo5::{Devices, Solo5};
use super::memory::{self, GuestMemory};
use super::signals;
use super::stopper::Stopper;
use super::terminal::RawTerminal;
use super::timer;
use super::topology::Place;
use super::vcpu::Vcpu;
use super::vcpu_threads::VcpuThreads;

/// The version of the KVM API since Linux 2.6.22 (Documentation/virt/kvm/api.rst).
const KVM_API_VERSION: i32 = 12;

/// A machine whose guest is ready for its first instruction.
pub struct Machine {
    vcpus: Vec<Vcpu>,
    serial: SerialPort,
    board: Board,
    space: EventFd,
    ended: EventFd,
    descriptors: Vec<RawFd>,
    /// Whether the guest reads from COM1.
    takes_input: bool,
    /// Kept open: with it go the interrupt lines.
    vm: Arc<VmFd>,
}

impl Machine {
    /// Makes the machine and loads the guest. Starts no thread and opens no path.
    ///
    /// From here on a signal that by default ends a process ends this one, even where it is
    /// the first of its pid namespace, and no such signal is lost before [`Machine::run`].
    ///
    /// # Errors
    /// Whatever is wrong with the files or the sizes, and what KVM refuses.
    pub fn new(config: &MachineConfig, files: Files) -> Result<Machine, Error> {
        signals::end_this_process().map_err(Error::Signals)?;
        let mut image = KernelImage::probe(&files.kernel)?;
        let size = boot::memory_size(&image, config.memory)?;
        let devices = Devices::attach(&mut image.manifest, files.blocks, files.nets)?;
        // SAFETY: the descriptor is taken out of the `File` that owned it, so that `kvm`
        // is its only owner.
        let kvm = unsafe { Kvm::from_raw_fd(files.kvm.into_raw_fd()) };
        let is_pc = image.abi != BootAbi::Solo5;
        let memory = boot::allocate(&image, size)?;
        let vm = create_vm(&kvm, &memory, is_pc)?;
        if image.abi == BootAbi::Multiboot1 {
            timer::start_as_firmware_does(&vm)?;
        }
        let fds = create_vcpus(&kvm, &vm, config.vcpus)?;
        let root = files.root.map(Root);
        let given = Given {
            kernel: &files.kernel,
            initrd: files.initrd.as_ref(),
            cmdline: &config.cmdline,
            vcpus: config.vcpus,
            tsc_khz: tsc_khz(&fds),
            folders: &root.as_ref().map_or(Vec::new(), Root::folders),
        };
        let entry = boot::load(&memory, size, &image, &given)?;
        let hypercalls = match image.abi {
            BootAbi::Solo5 => Some(Hypercalls::Solo5(Solo5::new(devices))),
            BootAbi::Hermit => {
                let interface = image.hermit.interface;
                let hermit = Hermit::new(interface, root, &config.cmdline);
                Some(Hypercalls::Hermit(hermit))
            }
            _ => None,
        };
        Machine::with_guest(&kvm, vm, fds, memory, &entry, hypercalls)
    }

    fn with_guest(
        kvm: &Kvm,
        vm: VmFd,
        fds: Vec<VcpuFd>,
        memory: GuestMemory,
        entry: &EntryState,
        hypercalls: Option<Hypercalls>,
    ) -> Result<Machine, Error> {
        let vm = Arc::new(vm);
        let takes_input = hypercalls.is_none();
        // Kernels with hypercalls listen to no device.
        let irq = |line| match takes_input {
            true => irq(&vm, line),
            false => event(),
        };
        let (com1, keyboard) = (irq(COM1_IRQ)?, irq(KEYBOARD_IRQ)?);
        let space = event()?;
        let space_of_serial = space.try_clone().map_err(Error::EventFd)?;
        let ended = event()?;
        let events = [&com1, &keyboard, &space, &space_of_serial, &ended];
        let events = events.map(AsRawFd::as_raw_fd);
        let serial = SerialPort::new(com1, space_of_serial);
        let board = Board::new(keyboard, line(&vm, SCI));
        let bus = PortBus::new(serial.clone(), board.clone());
        let mut descriptors = vec![vm.as_raw_fd()];
        descriptors.extend(hypercalls.iter().flat_map(Hypercalls::descriptors));
        // A guest that makes hypercalls knows of no other device.
        let mut devices = Vec::new();
        if takes_input {
            let irq = irq(Slot::new(0).irq())?;
            descriptors.push(irq.as_raw_fd());
            devices.push(Mmio::new(Box::new(Rng), memory.clone(), irq));
        }
        let buses = (bus, MmioBus::new(devices));
        let vcpus = enter(kvm, fds, &memory, entry, &buses, hypercalls)?;
        descriptors.extend(vcpus.iter().map(AsRawFd::as_raw_fd));
        descriptors.extend(events);
        Ok(Machine {
            vcpus,
            serial,
            board,
            space,
            ended,
            descriptors,
            takes_input,
            vm,
        })
    }

    /// The file descriptors that the machine needs to run, beside 0, 1 and 2: all others
    /// of the process may be closed.
    pub fn descriptors(&self) -> &[RawFd] {
        &self.descriptors
    }

    /// Runs the guest, with COM1 on this process's descriptors 0 and 1, until it ends or
    /// a signal ends it.
    ///
    /// The calling thread serves events; each vCPU has one of its own, gone when this
    /// returns. The signals that end a process stay blocked in the calling thread.
    pub fn run(self) -> GuestExit {
        self.run_on(Console::stdio())
    }

    /// As [`Machine::run`], with COM1 on other files.
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
        let (input, mut input_of_calls) = match self.takes_input {
            true => (console.input, None),
            false => (None, console.input),
        };
        let _terminal = input.as_ref().and_then(RawTerminal::enter);
        let output = Output::new(console.output, stop.clone());
        // Calls are the first one's alone.
        for vcpu in &mut self.vcpus {
            vcpu.connect(output.clone(), input_of_calls.take());
        }
        let mut events = EventLoop {
            serial: self.serial,
            input: Input::new(input),
            space: self.space,
            signals,
            ended: self.ended.try_clone()?,
            stopper: Stopper::new(self.board, self.vm.clone()),
        };
        let vcpus = VcpuThreads::start(self.vcpus, self.ended, stop)?;
        let ended = events.run(&vcpus);
        let by_itself = vcpus.stop();
        Ok(match (ended?, by_itself) {
            (EndedBy::Signal(signal), _) => GuestExit::Signalled(signal),
            (EndedBy::Guest, Some(exit)) => events.stopper.judge(exit),
            // Its threads end for no other reasons than those.
            (EndedBy::Guest, None) => GuestExit::PoweredOff,
        })
    }
}

/// A virtual machine with this memory, and if `is_pc` with interrupt controllers
/// and timer, but no vCPU yet.
///
/// The memory comes first: KVM waits for all readers of its tables before it takes a
/// memory slot, which is at once over in a new machine, but takes milliseconds once the
/// interrupt controllers have changed those tables as well.
fn create_vm(kvm: &Kvm, memory: &GuestMemory, is_pc: bool) -> Result<VmFd, Error> {
    match kvm.get_api_version() {
        KVM_API_VERSION => {}
        ..0 => return Err(Error::NotKvm),
        found => return Err(Error::KvmVersion { found }),
    }
    let vm = retry_on_eintr(|| kvm.create_vm()).map_err(Error::kvm("KVM_CREATE_VM"))?;
    memory::register(&vm, memory)?;
    hide_performance_counters(&vm);
    vm.set_tss_address(KVM_TSS)
        .map_err(Error::kvm("KVM_SET_TSS_ADDR"))?;
    if is_pc {
        create_interrupt_controllers(&vm)?;
    }
    Ok(vm)
}

fn create_interrupt_controllers(vm: &VmFd) -> Result<(), Error> {
    vm.create_irq_chip()
        .map_err(Error::kvm("KVM_CREATE_IRQCHIP"))?;
    timer::create(vm)
}

/// So many vCPUs of `vm`, which stand nowhere yet.
fn create_vcpus(kvm: &Kvm, vm: &VmFd, count: u8) -> Result<Vec<VcpuFd>, Error> {
    let max = kvm.get_max_vcpus().min(MAX_VCPUS.into());
    if count == 0 || usize::from(count) > max {
        return Err(Error::Vcpus { count, max });
    }
    (0..count)
        .map(|id| vm.create_vcpu(id.into()))
        .collect::<Result<_, _>>()
        .map_err(Error::kvm("KVM_CREATE_VCPU"))
}

/// How fast the vCPUs' TSCs count, which all run alike.
fn tsc_khz(vcpus: &[VcpuFd]) -> Option<u32> {
    vcpus.first().and_then(|first| first.get_tsc_khz().ok())
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
    let tsc_khz = tsc_khz(&fds);
    // No more were created than that.
    let count = fds.len() as u8;
    let cpuid = cpuid::build(kvm, tsc_khz)?;
    tell_frequency(memory, entry, tsc_khz)?;
    let vcpu = |(id, fd)| {
        let place = Place { id, count };
        let memory = memory.clone();
        Vcpu::new(
            fd,
            memory,
            place,
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

/// AMD's first four counters work whatever CPUID says: they are turned off in KVM as well.
/// Before Linux 5.18 that cannot be done, and those few stay.
fn hide_performance_counters(vm: &VmFd) {
    let mut cap = kvm_enable_cap {
        cap: KVM_CAP_PMU_CAPABILITY,
        ..Default::default()
    };
    cap.args[0] = KVM_PMU_CAP_DISABLE.into();
    let _ = vm.enable_cap(&cap);
}

/// KVM_CREATE_VM gives up when a signal is pending, even one that does nothing here
/// (`mm_take_all_locks` in Linux's mm/mmap.c).
fn retry_on_eintr<T>(
    call: impl Fn() -> Result<T, kvm_ioctls::Error>,
) -> Result<T, kvm_ioctls::Error> {
    loop {
        match call() {
            Err(e) if e.errno() == EINTR => {}
            result => return result,
        }
    }
}

/// An event that raises an edge on an interrupt line.
fn irq(vm: &VmFd, number: u32) -> Result<EventFd, Error> {
    let irq = event()?;
    vm.register_irqfd(&irq, number)
        .map_err(Error::kvm("KVM_IRQFD"))?;
    Ok(irq)
}

/// An interrupt line that keeps its level. One that cannot be set is lost: KVM refuses it only
/// where it has no such line.
fn line(vm: &Arc<VmFd>, number: u32) -> Line {
    let vm = vm.clone();
    Box::new(move |high| {
        let _ = vm.set_irq_line(number, high);
    })
}

fn event() -> Result<EventFd, Error> {
    EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(Error::EventFd)
}
