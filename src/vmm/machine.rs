//! A virtual machine, from open files to the guest's end.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use kvm_bindings::{
    KVM_CAP_PMU_CAPABILITY, KVM_PIT_SPEAKER_DUMMY, KVM_PMU_CAP_DISABLE, kvm_enable_cap,
    kvm_pit_config,
};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use nix::libc::{EFD_CLOEXEC, EFD_NONBLOCK, EINTR};
use vmm_sys_util::eventfd::EventFd;

use super::boot::image::{BootAbi, KernelImage};
use super::boot::layout::KVM_TSS;
use super::boot::{self, EntryState, Given};
use super::config::{Files, MachineConfig};
use super::console::{Console, Input, Output};
use super::devices::bus::PortBus;
use super::devices::serial::{COM1_IRQ, SerialPort};
use super::error::Error;
use super::event_loop::{EndedBy, EventLoop};
use super::exit::{Crash, GuestExit};
use super::hypercall::Hypercalls;
use super::hypercall::hermit::{Hermit, Root};
use super::hypercall::solo5::{Devices, Solo5};
use super::memory::{self, GuestMemory};
use super::signals;
use super::terminal::RawTerminal;
use super::vcpu::Vcpu;
use super::vcpu_thread::VcpuThread;

/// The version of the KVM API since Linux 2.6.22 (Documentation/virt/kvm/api.rst).
const KVM_API_VERSION: i32 = 12;

/// A machine whose guest is ready for its first instruction.
pub struct Machine {
    vcpu: Vcpu,
    serial: SerialPort,
    space: EventFd,
    ended: EventFd,
    descriptors: Vec<RawFd>,
    /// Whether the guest reads from COM1.
    takes_input: bool,
    /// Kept open: with it goes the interrupt line of COM1.
    _vm: VmFd,
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
        let fd = vm.create_vcpu(0).map_err(Error::kvm("KVM_CREATE_VCPU"))?;
        let root = files.root.map(Root);
        let given = Given {
            kernel: &files.kernel,
            initrd: files.initrd.as_ref(),
            cmdline: &config.cmdline,
            tsc_khz: fd.get_tsc_khz().ok(),
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
        Machine::with_guest(fd, &kvm, vm, memory, &entry, hypercalls)
    }

    fn with_guest(
        fd: VcpuFd,
        kvm: &Kvm,
        vm: VmFd,
        memory: GuestMemory,
        entry: &EntryState,
        hypercalls: Option<Hypercalls>,
    ) -> Result<Machine, Error> {
        let irq = event()?;
        let space = event()?;
        let takes_input = hypercalls.is_none();
        if takes_input {
            vm.register_irqfd(&irq, COM1_IRQ)
                .map_err(Error::kvm("KVM_IRQFD"))?;
        }
        let space_of_serial = space.try_clone().map_err(Error::EventFd)?;
        let ended = event()?;
        let events = [&irq, &space, &space_of_serial, &ended].map(AsRawFd::as_raw_fd);
        let serial = SerialPort::new(irq, space_of_serial);
        let mut descriptors = vec![vm.as_raw_fd()];
        descriptors.extend(events);
        descriptors.extend(hypercalls.iter().flat_map(Hypercalls::descriptors));
        let bus = PortBus::new(serial.clone());
        let vcpu = Vcpu::new(fd, kvm, memory, entry, bus, hypercalls)?;
        descriptors.push(vcpu.as_raw_fd());
        Ok(Machine {
            vcpu,
            serial,
            space,
            ended,
            descriptors,
            takes_input,
            _vm: vm,
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
    /// The calling thread serves events; a second one runs the vCPU and is gone when this
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
        let (input, input_of_calls) = match self.takes_input {
            true => (console.input, None),
            false => (None, console.input),
        };
        let _terminal = input.as_ref().and_then(RawTerminal::enter);
        let output = Output::new(console.output, stop.clone());
        self.vcpu.connect(output, input_of_calls);
        let mut events = EventLoop {
            serial: self.serial,
            input: Input::new(input),
            space: self.space,
            signals,
            ended: self.ended.try_clone()?,
        };
        let vcpu = VcpuThread::start(self.vcpu, self.ended, stop)?;
        match events.run(&vcpu) {
            Ok(EndedBy::Guest) => Ok(vcpu.join()),
            Ok(EndedBy::Signal(signal)) => {
                vcpu.stop();
                Ok(GuestExit::Signalled(signal))
            }
            Err(e) => {
                vcpu.stop();
                Err(e)
            }
        }
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
    // With the speaker's port 0x61, by which guests calibrate clocks.
    let pit = kvm_pit_config {
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..Default::default()
    };
    vm.create_pit2(pit).map_err(Error::kvm("KVM_CREATE_PIT2"))
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

fn event() -> Result<EventFd, Error> {
    EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC).map_err(Error::EventFd)
}
