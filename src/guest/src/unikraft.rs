//! Unikraft: `NAME [LIB.PARAM=VALUE]... -- [ARGUMENT]...`, or the arguments alone.
//!
//! Source: Unikraft 0.13 to 0.17, lib/ukargparse/argparse.c, lib/uklibparam/parser.c,
//! lib/uknetdev/netdev.c, lib/ukboot and lib/vfscore/automount.c.

use crate::boot_params::BootParams;
use crate::cmdline::{at_most, double_quoted, line};
use crate::error::Error;
use crate::family::Family;
use crate::family_traits::{FamilyTraits, Support, VirtioBus};
use crate::kernel_traits::KernelTraits;
use crate::libinfo::LibInfo;
use crate::root::{Root, TAG};
use crate::sections::Sections;

/// `LIBUKBOOT_MAXNBARGS`: words, the program's name and the parameters among them.
const MAX_WORDS: usize = 60;
/// `LIBUKBOOT_CMDLINE_MAX_LEN` less the zero byte.
const MAX_BYTES: usize = 4095;

/// More than Unikraft's metadata has unless the whole configuration is among them; what lies
/// past it is not looked at.
const MAX_LIBINFO: usize = 64 << 10;

pub(crate) static TRAITS: FamilyTraits = FamilyTraits {
    p9,
    virtiofs,
    block_root: Support::No,
    virtio_bus,
    recognize,
    ..FamilyTraits::new(Family::Unikraft, &["unikraft"], command_line)
};

fn p9(traits: Option<&KernelTraits>) -> Support {
    match traits.and_then(|traits| traits.has_9p) {
        Some(true) => Support::Yes,
        Some(false) => Support::NotBuilt("build it with 9pfs, or say initrd"),
        None => Support::Unknown,
    }
}

fn virtiofs(traits: Option<&KernelTraits>) -> Support {
    match traits.is_some_and(|traits| traits.has_virtiofs) {
        true => Support::Yes,
        false => Support::NotBuilt("build it with ukfs-virtiofs, or say 9p"),
    }
}

/// Kernels for Firecracker take registers in memory, and find them on their command line. The
/// driver for 9P knows devices of before virtio 1.0 alone: it never takes VIRTIO_F_VERSION_1
/// (drivers/virtio/9p/virtio_9p.c), and the other drivers take both.
fn virtio_bus(root: Root) -> VirtioBus {
    match root {
        Root::P9 => VirtioBus::MmioLegacy,
        _ => VirtioBus::Mmio,
    }
}

/// What the sections of its libraries' parameters and metadata show.
fn recognize(sections: &Sections) -> Option<KernelTraits> {
    if !sections.any_begins(".uk_") {
        return None;
    }
    let info = LibInfo::parse(&sections.content(".uk_libinfo", MAX_LIBINFO));
    let own = ".uk_libparam_params";
    let is_in = |library: &str| info.libraries.iter().any(|name| name == library);
    // One section for each library before 0.17, then one for all.
    let reads = |library: &str| {
        sections.has(&format!("{own}_{library}")) || sections.has(own) && is_in(library)
    };
    Some(KernelTraits {
        reads_parameters: sections.any_begins(own),
        reads_environment: reads("libposix_environ"),
        // Neither has other parameters; the second one came with another virtual file system.
        reads_mounts: reads("libvfscore") || reads("libposix_vfs_fstab"),
        has_9p: (!info.libraries.is_empty()).then(|| is_in("lib9pfs")),
        has_virtiofs: is_in("libukfs_virtiofs"),
        unpacks_initrd: is_in("libukcpio"),
        release: info.release,
        ..KernelTraits::new(Family::Unikraft)
    })
}

/// The guest looks for `--` only if it reads parameters at all, and takes what stands before it
/// for parameters only if that is one word or more: else `--` is an argument like another.
/// So `--` is written after parameters, and a guest that does not read any gets none.
fn command_line(traits: Option<&KernelTraits>, params: &BootParams) -> Result<String, Error> {
    let mut words = Vec::new();
    let (name, args) = match params.args.split_first() {
        Some((name, args)) => (name.as_str(), args),
        None => ("unikraft", params.args),
    };
    words.push(argument(name)?);
    let reads_parameters = traits.is_some_and(|traits| traits.reads_parameters);
    let mut parameters = Vec::new();
    // One that shows nothing of itself is a new one: those before 0.15 show their sections.
    if traits.is_none_or(|traits| traits.reads_parameters) {
        parameters.extend_from_slice(params.devices);
        parameters.extend(network(traits, params)?);
    }
    if let Some(traits) = traits.filter(|traits| traits.reads_mounts) {
        parameters.extend(root(traits, params.root));
    }
    if traits.is_some_and(|traits| traits.reads_environment) {
        parameters.extend(environment(params)?);
    }
    let hides_arguments = reads_parameters && args.iter().skip(1).any(|arg| arg == "--");
    match parameters.is_empty() {
        false => {
            words.extend(parameters);
            words.push("--".to_owned());
        }
        // An empty list, so that the arguments' own `--` is not the first.
        true if hides_arguments => words.extend(["env.vars=[", "]", "--"].map(str::to_owned)),
        true => {}
    }
    for arg in args {
        words.push(argument(arg)?);
    }
    let what = "words of arguments and environment";
    at_most(MAX_WORDS, words.len(), Family::Unikraft, what)?;
    line(Family::Unikraft, &words, MAX_BYTES)
}

/// What to mount as the root. A kernel that has no such parameter passes over it, with a
/// warning.
fn root(traits: &KernelTraits, root: Root) -> Vec<String> {
    let release = traits.release.as_deref().map(release);
    match (root, release) {
        // Releases that do not say which they are know no table yet.
        (Root::P9, None) => vec!["vfs.rootfs=9pfs".into(), format!("vfs.rootdev={TAG}")],
        (Root::P9, Some(_)) => vec![format!("vfs.fstab={TAG}:/:9pfs")],
        (Root::Virtiofs, _) => vec![format!("vfs.fstab={TAG}:/:virtiofs")],
        (Root::Initrd, Some(release)) if traits.unpacks_initrd => {
            let how = match release {
                // Into a file system of its own, unless the kernel has mounted one.
                release if release >= (0, 16, 2) => "extract::ramfs=2",
                release if release >= (0, 16, 1) => "extract",
                _ => "initrd",
            };
            vec![format!("vfs.fstab=initrd0:/:{how}")]
        }
        _ => Vec::new(),
    }
}

/// `0.16.3` as numbers; what is missing is 0.
fn release(text: &str) -> (u32, u32, u32) {
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

/// One parameter for each variable: in a list, a value that ends in `]` would end the list.
/// A guest built with places for fewer variables drops those that come last without a word.
fn environment(params: &BootParams) -> Result<Vec<String>, Error> {
    let variable = |(name, value): (&str, &str)| match name.starts_with('[') {
        true => Err(Error::variable(name, "begins with [, a list to Unikraft")),
        false => Ok(quoted(&format!("env.vars={name}={value}"))),
    };
    params.variables()?.into_iter().map(variable).collect()
}

/// The address and what belongs to it, of one device. A kernel built without these parameters
/// takes no notice of them.
fn network(traits: Option<&KernelTraits>, params: &BootParams) -> Result<Vec<String>, Error> {
    let Some(network) = params.network else {
        return Ok(Vec::new());
    };
    let Some(ipv4) = network.ipv4(Family::Unikraft)? else {
        return Ok(Vec::new());
    };
    let gateway = ipv4.gateway.map(|ip| ip.to_string());
    if traits.is_some_and(|traits| !traits.is_since((0, 16, 1))) {
        let mut words = vec![
            format!("netdev.ipv4_addr={}", ipv4.address.ip),
            format!("netdev.ipv4_subnet_mask={}", ipv4.mask()),
        ];
        words.extend(gateway.map(|ip| format!("netdev.ipv4_gw_addr={ip}")));
        return Ok(words);
    }
    let nameserver = |n| ipv4.nameservers.get(n).map(ToString::to_string);
    let parts = [
        Some(ipv4.address.to_string()),
        gateway,
        nameserver(0),
        nameserver(1),
        network.hostname.clone(),
        network.domain.clone(),
    ];
    let parts = parts.map(Option::unwrap_or_default).join(":");
    Ok(vec![quoted(&format!(
        "netdev.ip={}",
        parts.trim_end_matches(':')
    ))])
}

fn argument(arg: &str) -> Result<String, Error> {
    match arg.is_empty() {
        true => Err(Error::argument(arg, "is empty, which Unikraft drops")),
        false => Ok(quoted(arg)),
    }
}

fn quoted(word: &str) -> String {
    // What the guest's parser takes for white space, quotes and the escape.
    let special = |c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '"' | '\'' | '\\');
    match word.contains(special) {
        true => double_quoted(word),
        false => word.to_owned(),
    }
}
