//! What can be seen of a bundle, gathered and not judged.

mod annotations;
mod block;
mod config_fault;
mod container;
mod escape;
mod file_fault;
mod guest_config;
mod host;
mod kernel;
mod kraftkit;
mod media;
pub mod quantity;
mod root_disk;
mod shared_error;
mod source;
mod urunc;
mod urunc_json;
mod vm;

use std::collections::BTreeMap;
use std::fs::File;

use serde::Serialize;

pub use annotations::{Mode, ModeChoice, PREFIX as ANNOTATION_PREFIX};
pub use block::{Block, BlockConfig, Number};
pub use config_fault::{ConfigFault, ValueError};
pub use container::{Container, Kind};
pub(crate) use escape::{escape, escape_line, escape_path, escape_short};
pub use file_fault::{BlockFault, KernelFault, NodeError, NodeFault, RootfsError};
pub use guest_config::{GuestConfig, NetworkChoice, RootChoice};
pub use host::{Host, has_kvm, open_kvm};
pub use kernel::{Initrd, Kernel, State};
pub use media::{Media, MediaState};
pub use root_disk::PATH as ROOT_DISK;
pub use shared_error::SharedError;
pub use source::{Source, SourceKind, Sourced};

use bundle::{self, BlockNode, Bundle, Rootfs};
use guest::{Family, FamilyTraits, KernelTraits};
use vmm::BootAbi;

/// Everything that a decision may depend on.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// What its caller says of the container.
    pub container: Container,
    /// What `runu.dev/mode` says.
    pub mode: Option<ModeChoice>,
    /// How it would be run, if as a unikernel: the pod's settings, and where it has none
    /// the image's.
    #[serde(rename = "wishes")]
    pub guest_config: GuestConfig,
    /// What the image says of itself.
    pub media: Media,
    /// The kernel that is named, or else the image's own.
    pub kernel: Option<Kernel>,
    /// The initrd that is named, or that lies beside the kernel.
    pub initrd: Option<Initrd>,
    /// What is behind the guest's block devices, as in [`GuestConfig::blocks`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    /// The rootfs's own device, where the guest's root may be on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_disk: Option<Block>,
    /// `root.readonly`: nothing in the rootfs may be written.
    #[serde(skip)]
    pub read_only: bool,
    /// The block devices of `linux.devices`.
    #[serde(skip)]
    pub block_nodes: Vec<BlockNode>,
    /// `process.args`.
    pub args: Vec<String>,
    /// `process.env`: the guest's alone, and full of secrets.
    #[serde(skip)]
    pub env: Vec<String>,
    /// `process.cwd`.
    #[serde(skip)]
    pub cwd: Option<String>,
    /// `hostname`.
    #[serde(skip)]
    pub hostname: Option<String>,
    /// `linux.resources.memory.limit`, in bytes.
    pub memory_limit: Option<u64>,
    /// The quota of `linux.resources.cpu`, in CPUs, rounded up.
    pub cpu_limit: Option<u64>,
    /// Whether the container is to have the host's own network namespace.
    #[serde(skip)]
    pub host_network: bool,
    /// How many CPUs this process may run on; 1 where no kernel was found to run on them.
    #[serde(skip)]
    pub host_cpus: u64,
    /// `None` where nobody asked.
    pub host: Option<Host>,
    /// The keys of the annotations that mean something to runu for this container.
    #[serde(skip)]
    pub recognized_keys: Vec<String>,
    /// All annotations of config.json; none where nobody asked.
    #[serde(skip)]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip)]
    precedence: Precedence,
}

/// The guest configurations by the precedence of their sources.
#[derive(Debug, Default)]
struct Precedence {
    pod: GuestConfig,
    image: GuestConfig,
}

/// What the keys of recognized annotations begin with.
const PREFIXES: [&str; 3] = [annotations::PREFIX, urunc::PREFIX, kraftkit::PREFIX];

/// What costs more than a look, and is only gathered on demand.
#[derive(Debug, Clone, Copy, Default)]
pub struct GatherOptions {
    /// The kernel file's digest.
    pub digest: bool,
    /// What the host has.
    pub host: bool,
    /// Every annotation, whoever's.
    pub annotations: bool,
}

impl GatherOptions {
    /// What either asks for.
    pub fn and(self, other: Self) -> Self {
        Self {
            digest: self.digest || other.digest,
            host: self.host || other.host,
            annotations: self.annotations || other.annotations,
        }
    }
}

/// The files behind the facts, opened once: what was judged is what boots.
#[derive(Debug, Default)]
pub struct Files {
    /// What boots: the kernel file, or what was in it where it was compressed.
    pub kernel: Option<File>,
    /// As in [`Facts::initrd`].
    pub initrd: Option<File>,
    /// As in [`Facts::blocks`], open for reading.
    pub blocks: Vec<Option<File>>,
    /// Likewise.
    pub root_disk: Option<File>,
}

impl Facts {
    /// Looks at a bundle.
    ///
    /// # Errors
    /// Only where the bundle's rootfs cannot be looked at; what is wrong with an
    /// annotation or a kernel is a fact.
    pub fn gather(bundle: &Bundle, options: GatherOptions) -> Result<(Self, Files), bundle::Error> {
        let mut facts = Self::of_config(&bundle.config, options);
        let mut files = Files::default();
        // A sandbox is runc's whatever it holds: its rootfs is not looked at.
        if facts.container.kind != Kind::Sandbox {
            let rootfs = bundle.rootfs()?;
            if let Some(guest_config) = urunc::file(&rootfs) {
                facts.merge_image(guest_config);
            }
            files = facts.find_files(&rootfs, options.digest);
        }
        Ok((facts, files))
    }

    /// Takes in what the image says of itself, which may name other files.
    ///
    /// # Errors
    /// As [`Facts::gather`].
    pub fn add_media(
        &mut self,
        media: Media,
        bundle: &Bundle,
        options: GatherOptions,
    ) -> Result<Files, bundle::Error> {
        self.set_media(media);
        Ok(self.find_files(&bundle.rootfs()?, options.digest))
    }

    /// Takes in what an image says of itself, without a look at files.
    pub fn set_media(&mut self, media: Media) {
        self.merge_image(media.guest_config());
        self.media = media;
    }

    fn merge_image(&mut self, guest_config: GuestConfig) {
        self.precedence.image.join(guest_config);
        self.guest_config = self.precedence.pod.clone();
        self.guest_config.or(self.precedence.image.clone());
    }

    /// What config.json alone says.
    pub fn of_config(config: &bundle::Config, options: GatherOptions) -> Self {
        let container = Container::read(config);
        let name = container.name.as_deref();
        let all = || config.annotations();
        let (mode, mut guest_config) = annotations::read(all(), name, Source::Annotation);
        guest_config.join(urunc::annotations(all(), Source::Annotation));
        guest_config.join(kraftkit::annotations(all(), Source::Annotation));
        if let Some(vm) = &config.vm {
            guest_config.join(vm::read(vm));
        }
        let annotations = config.annotations().filter(|_| options.annotations);
        Self {
            mode,
            guest_config: guest_config.clone(),
            media: Media::Unasked,
            precedence: Precedence {
                pod: guest_config,
                image: GuestConfig::default(),
            },
            kernel: None,
            initrd: None,
            blocks: Vec::new(),
            root_disk: None,
            read_only: config.has_read_only_root(),
            block_nodes: config.block_nodes(),
            args: config.args().to_vec(),
            env: config.env().to_vec(),
            cwd: config.cwd().map(str::to_owned),
            hostname: config.hostname().map(str::to_owned),
            memory_limit: config.memory_limit(),
            cpu_limit: config.cpu_limit(),
            host_network: config.has_host_network(),
            host_cpus: 1,
            host: options.host.then(Host::read),
            recognized_keys: recognized_keys(config, name),
            annotations: annotations
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            container,
        }
    }

    /// Sets a synthetic kernel where no file was looked for: at the path that is named, or at the
    /// image's.
    pub fn set_synthetic_kernel(&mut self, abi: BootAbi) {
        self.kernel = Some(kernel::synthetic(&self.guest_config, abi));
    }

    /// Finds the files of the image that the guest configuration names.
    fn find_files(&mut self, rootfs: &Rootfs, digest: bool) -> Files {
        let (kernel, boot_files) = kernel::find(rootfs, &self.guest_config, digest);
        let (initrd, file) = kernel::find_initrd(
            rootfs,
            &self.guest_config,
            kernel.as_ref(),
            boot_files.image,
        );
        let (blocks, images) = block::find(
            rootfs,
            self.read_only,
            &self.block_nodes,
            &self.guest_config.blocks,
        );
        // An ordinary container is not kept waiting for it.
        if kernel.is_some() {
            self.host_cpus = host::cpus();
        }
        let (root_disk, device) = root_disk::find(rootfs, self.read_only, &self.guest_config);
        self.root_disk = root_disk;
        (self.kernel, self.initrd, self.blocks) = (kernel, initrd, blocks);
        Files {
            kernel: boot_files.kernel,
            initrd: file,
            blocks: images,
            root_disk: device,
        }
    }

    /// What the kernel file shows of its family.
    pub fn traits(&self) -> Option<&KernelTraits> {
        match &self.kernel.as_ref()?.state {
            State::Bootable { traits, .. } => traits.as_ref(),
            State::Unusable { .. } => None,
        }
    }

    /// The guest's family: the one that is set, or else the one that its kernel shows.
    pub fn family(&self) -> Option<Family> {
        let setting = self.guest_config.family.as_ref();
        setting
            .and_then(|setting| Family::named(&setting.value))
            .or_else(|| self.traits().map(|traits| traits.family))
    }

    /// What guests of that family can do; of none that is known, what [`Family::Other`] can.
    pub fn family_traits(&self) -> &'static FamilyTraits {
        self.family().unwrap_or(Family::Other).traits()
    }

    /// Whether anything here looks like a unikernel, well-formed or not.
    pub fn has_evidence(&self) -> bool {
        self.kernel.is_some() || !self.guest_config.evidence.is_empty()
    }

    /// Whether the pod as a whole says "container" and names a kernel all the same.
    pub fn contradict(&self) -> bool {
        let named_by_pod = |setting: &Sourced<_>| setting.origin.kind() == SourceKind::Annotation;
        self.guest_config.kernel.as_ref().is_some_and(named_by_pod)
            && self
                .mode
                .as_ref()
                .is_some_and(|mode| mode.value == Mode::Container && mode.is_pod_wide())
    }
}

/// The keys that mean something to this container: not those that name another.
fn recognized_keys(config: &bundle::Config, container: Option<&str>) -> Vec<String> {
    let is_recognized = |key: &str| {
        !annotations::is_of_another(key, container)
            && PREFIXES.iter().any(|prefix| key.starts_with(prefix))
    };
    let keys = config.annotations().map(|(key, _)| key);
    keys.filter(|key| is_recognized(key))
        .map(str::to_owned)
        .collect()
}
