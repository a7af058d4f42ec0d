//! A machine with a kernel in its memory that has not been told anything yet: what can go
//! wrong with a kernel's files goes wrong here, long before the guest starts.

use std::os::fd::{FromRawFd, IntoRawFd};

use kvm_ioctls::{Kvm, VcpuFd, VmFd};

use super::boot::image::{BootAbi, KernelImage};
use super::boot::{self, EntryState, Loaded, Told};
use super::config::{BlockDevice, Files, MachineConfig, NetDevice, ServedShare, Share, Vsock};
use super::devices::virtio::attach;
use super::devices::virtio::devices::console::Port;
use super::devices::virtio::slots::DeviceSlots;
use super::error::Error;
use super::hypercall::Hypercalls;
use super::hypercall::hermit::{Hermit, Root};
use super::hypercall::solo5::{Devices, Solo5};
use super::machine::{Machine, Peripherals};
use super::memory::{self, GuestMemory};
use super::signals;
use super::timer;
use super::vm;

/// A machine that waits to be told what its guest shall know.
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
        let size = boot::memory_size(&image, config.memory)?;
        // SAFETY: the descriptor is taken out of the `File` that owned it, so that `kvm`
        // is its only owner.
        let kvm = unsafe { Kvm::from_raw_fd(files.kvm.into_raw_fd()) };
        let memory = match files.served.is_empty() || !image.abi.has_virtio() {
            true => boot::allocate(&image, size)?,
            false => memory::allocate_shared(size)?,
        };
        let vm = vm::create(&kvm, &memory, image.abi != BootAbi::Solo5)?;
        if image.abi == BootAbi::Multiboot1 {
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
        // To know now whether it can be told.
        prepared.tell(&config.cmdline, &DeviceSlots::NONE)?;
        Ok(prepared)
    }

    /// Gives the guest its devices and its command line, which takes the place of the
    /// configuration's, and puts the first vCPU at the kernel's entry.
    ///
    /// # Errors
    /// A command line that does not fit, a device that the kernel does not declare, or that it
    /// declares and does not get, a back end that does not answer, and what KVM refuses.
    pub fn finish(mut self, cmdline: &str, nets: Vec<NetDevice>) -> Result<Machine, Error> {
        let blocks = std::mem::take(&mut self.blocks);
        let shares = std::mem::take(&mut self.shares);
        let served = std::mem::take(&mut self.served);
        let vsock = self.vsock.take();
        let port = Port::new()?;
        let (devices, declared) = match self.image.abi {
            BootAbi::Solo5 | BootAbi::Hermit => {
                let manifest = &mut self.image.manifest;
                (Vec::new(), Devices::attach(manifest, blocks, nets)?)
            }
            _ => {
                let devices = attach::devices(nets, blocks, shares, served, vsock, port.clone())?;
                (devices, Devices::default())
            }
        };
        let places = DeviceSlots::allocate(self.config.transport, devices.len())?;
        let entry = self.tell(cmdline, &places)?;
        let peripherals = match self.image.abi {
            BootAbi::Solo5 => Peripherals::Calls(Hypercalls::Solo5(Solo5::new(declared))),
            BootAbi::Hermit => {
                let interface = self.image.hermit.interface;
                let hermit = Hermit::new(interface, self.root, cmdline);
                Peripherals::Calls(Hypercalls::Hermit(hermit))
            }
            _ => Peripherals::Pc(places, devices, port),
        };
        let (kvm, vm) = (self.kvm, self.vm);
        Machine::with_guest(&kvm, vm, self.vcpus, self.memory, &entry, peripherals)
    }

    fn tell(&self, cmdline: &str, places: &DeviceSlots) -> Result<EntryState, Error> {
        let told = Told {
            cmdline,
            vcpus: self.config.vcpus,
            tsc_khz: vm::tsc_khz(&self.vcpus),
            dirs: &self.root.as_ref().map_or(Vec::new(), Root::dirs),
            places,
        };
        boot::tell(&self.memory, &self.image, &self.loaded, &told)
    }
}
