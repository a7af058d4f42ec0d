//! A machine with a kernel in its memory, before its boot parameters are written: what can go
//! wrong with a kernel's files goes wrong here, long before the guest starts.

use std::os::fd::{FromRawFd, IntoRawFd};

use kvm_ioctls::{Kvm, VcpuFd, VmFd};

use super::arch::registers::EntryState;
use super::arch::timer;
use super::boot::{self, BootParams, KernelImage, Loaded};
use super::config::{BlockDevice, Files, MachineConfig, NetDevice, ServedShare, Share, Vsock};
use super::devices::virtio::attach;
use super::devices::virtio::devices::console::Port;
use super::devices::virtio::slots::DeviceSlots;
use super::error::Error;
use super::hypercall::Hypercalls;
use super::hypercall::hermit::Root;
use super::machine::{Machine, Peripherals};
use super::memory::{self, GuestMemory};
use super::signals;
use super::vm;

/// A machine that waits for its guest's command line and networks.
pub struct Prepared {
    config: MachineConfig,
    image: KernelImage,
    loaded: Loaded,
    root: Option<Root>,
    blocks: Vec<BlockDevice>,
    shares: Vec<Share>,
    served: Vec<ServedShare>,
    vsock: Option<Vsock>,
    kvm: Kvm,
    vm: VmFd,
    memory: GuestMemory,
    vcpus: Vec<VcpuFd>,
}

impl Prepared {
    /// Makes the machine and loads the kernel. Starts no thread and opens no path.
    ///
    /// From here on a signal that by default ends a process ends this one, even where it is
    /// the first of its pid namespace, and no such signal is lost before [`Machine::run`].
    ///
    /// # Errors
    /// Whatever is wrong with the files, the sizes or the configuration's command line, and
    /// what KVM refuses.
    pub fn new(config: &MachineConfig, files: Files) -> Result<Prepared, Error> {
        signals::end_this_process().map_err(Error::Signals)?;
        let image = KernelImage::probe(&files.kernel)?;
        let size = image.memory_size(config.memory)?;
        // SAFETY: the descriptor is taken out of the `File` that owned it, so that `kvm`
        // is its only owner.
        let kvm = unsafe { Kvm::from_raw_fd(files.kvm.into_raw_fd()) };
        let memory = match files.served.is_empty() || !image.abi().has_virtio() {
            true => image.allocate(size)?,
            false => memory::allocate_shared(size)?,
        };
        let vm = vm::create(&kvm, &memory, image.has_interrupt_controllers())?;
        if image.expects_running_timer() {
            timer::start_as_firmware_does(&vm)?;
        }
        let vcpus = vm::create_vcpus(&kvm, &vm, config.vcpus)?;
        let loaded = boot::load(&memory, size, &image, &files.kernel, files.initrd.as_ref())?;
        let prepared = Prepared {
            config: config.clone(),
            image,
            loaded,
            root: files.root.map(Root),
            blocks: files.blocks,
            shares: files.shares,
            served: files.served,
            vsock: files.vsock,
            kvm,
            vm,
            memory,
            vcpus,
        };
        // To know now whether it fits.
        let dirs = prepared.dirs();
        prepared.write_boot_params(&config.cmdline, &DeviceSlots::NONE, &dirs)?;
        Ok(prepared)
    }

    /// Gives the guest its devices and its command line, which takes the place of the
    /// configuration's, and puts the first vCPU at the kernel's entry.
    ///
    /// # Errors
    /// A command line that does not fit, a device that the kernel does not declare, or that it
    /// declares and does not get, a back end that does not answer, and what KVM refuses.
    pub fn finish(mut self, cmdline: &str, nets: Vec<NetDevice>) -> Result<Machine, Error> {
        let dirs = self.dirs();
        let blocks = std::mem::take(&mut self.blocks);
        let peripherals = match self.image.hypercalls() {
            Some(abi) => {
                let root = self.root.take();
                let hypercalls = Hypercalls::new(abi, blocks, nets, root, cmdline)?;
                Peripherals::Calls(hypercalls)
            }
            None => {
                let shares = std::mem::take(&mut self.shares);
                let served = std::mem::take(&mut self.served);
                let port = Port::new()?;
                let vsock = self.vsock.take();
                let devices = attach::devices(nets, blocks, shares, served, vsock, port.clone())?;
                let slots = DeviceSlots::allocate(self.config.transport, devices.len())?;
                Peripherals::Pc(slots, devices, port)
            }
        };
        let entry = self.write_boot_params(cmdline, peripherals.slots(), &dirs)?;
        let (kvm, vm) = (self.kvm, self.vm);
        Machine::with_guest(&kvm, vm, self.vcpus, self.memory, &entry, peripherals)
    }

    /// The directories that a Hermit guest is told of.
    fn dirs(&self) -> Vec<String> {
        self.root.as_ref().map_or(Vec::new(), Root::dirs)
    }

    fn write_boot_params(
        &self,
        cmdline: &str,
        slots: &DeviceSlots,
        dirs: &[String],
    ) -> Result<EntryState, Error> {
        let params = BootParams {
            cmdline,
            vcpus: self.config.vcpus,
            tsc_khz: vm::tsc_khz(&self.vcpus),
            dirs,
            slots,
        };
        self.image
            .write_boot_params(&self.memory, &self.loaded, &params)
    }
}
