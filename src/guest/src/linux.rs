//! Linux: `PARAMETER... [NAME=VALUE]... [rdinit=PROGRAM] -- [ARGUMENT]...`
//!
//! What is no parameter of the kernel's becomes init's environment, what stands after `--` its
//! arguments.
//!
//! Source: Linux 6.1, lib/cmdline.c (`next_arg`), kernel/params.c, init/main.c
//! (`unknown_bootoption`, `set_init_arg`), Documentation/admin-guide/nfs/nfsroot.rst (`ip=`).

use crate::boot_params::BootParams;
use crate::cmdline::{at_most, line};
use crate::error::Error;
use crate::family::Family;
use crate::family_traits::{FamilyTraits, Support, VirtioBus};
use crate::kernel_traits::KernelTraits;
use crate::network::Network;
use crate::root::{Root, TAG};
use crate::sections::Sections;

/// `COMMAND_LINE_SIZE` of x86 less the zero byte.
const MAX_BYTES: usize = 2047;
/// `CONFIG_INIT_ENV_ARG_LIMIT`: past it the kernel panics. Of the variables, HOME and TERM are
/// the kernel's own.
const MAX_ARGUMENTS: usize = 32;
const MAX_VARIABLES: usize = 31;

/// The console is where the container's stdio is. A panic ends the machine, and by a triple
/// fault: a reset by the keyboard's controller is an end in good order.
const PARAMETERS: [&str; 4] = ["console=ttyS0", "quiet", "panic=-1", "reboot=t"];

/// It takes both of virtio's transports, and is interrupted by messages over PCI.
pub(crate) static TRAITS: FamilyTraits = FamilyTraits {
    p9: |_| Support::Yes,
    virtiofs: |_| Support::Yes,
    block_root: Support::Yes,
    virtio_bus: |_| VirtioBus::Pci,
    recognize,
    ..FamilyTraits::new(Family::Linux, &["linux"], |_, params| command_line(params))
};

/// Where the boot code finds instructions to replace on this processor; others have an
/// `.init.text` too.
fn recognize(sections: &Sections) -> Option<KernelTraits> {
    let is_linux = sections.has(".altinstructions") && sections.has(".init.text");
    is_linux.then(|| KernelTraits::new(Family::Linux))
}

/// A program with a path is run as init; any other first argument is one of the image's own
/// init.
fn command_line(params: &BootParams) -> Result<String, Error> {
    let mut words: Vec<String> = PARAMETERS.map(str::to_owned).into();
    if let Some(name) = params.hostname {
        words.push(quoted("hostname", &format!("hostname={name}"))?);
    }
    words.extend(root(params));
    if let Some(network) = params.network {
        words.extend(address(network)?);
    }
    let variables = params.variables()?;
    let own = ["HOME", "TERM"];
    let added = variables.iter().filter(|(name, _)| !own.contains(name));
    let max = MAX_VARIABLES - usize::from(params.network.is_some());
    at_most(max, added.count(), Family::Linux, "variables")?;
    for (name, value) in variables {
        words.push(variable(name, value)?);
    }
    let mut args = params.args;
    if let Some((program, rest)) = args.split_first()
        && program.starts_with('/')
    {
        // An initrd that is not the root hands over to the root's own.
        let is_in_initrd =
            params.initrd && !matches!(params.root, Root::P9 | Root::Virtiofs | Root::Block);
        let parameter = if is_in_initrd { "rdinit" } else { "init" };
        words.push(quoted("argument", &format!("{parameter}={program}"))?);
        args = rest;
    }
    at_most(MAX_ARGUMENTS, args.len(), Family::Linux, "arguments")?;
    if !args.is_empty() {
        words.push("--".to_owned());
    }
    for arg in args {
        words.push(argument(arg)?);
    }
    line(Family::Linux, &words, MAX_BYTES)
}

/// What to mount as the root (Documentation/filesystems/9p.rst, admin-guide/kernel-parameters.txt).
/// Programs may map files that they share, which takes a cache for what is mapped; nothing else
/// is cached, so that what the host changes is seen. Of a tree whose parts are mounted in their
/// own ways, the host says what may not be written.
fn root(params: &BootParams) -> Vec<String> {
    let words = |words: &[&str]| words.iter().copied().map(str::to_owned).collect();
    match params.root {
        Root::P9 => words(&[
            &format!("root={TAG}"),
            "rootfstype=9p",
            "rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=mmap",
            "rw",
        ]),
        Root::Virtiofs => words(&[&format!("root={TAG}"), "rootfstype=virtiofs", "rw"]),
        Root::Block if params.read_only => words(&["root=/dev/vda", "ro"]),
        Root::Block => words(&["root=/dev/vda", "rw"]),
        Root::Initrd | Root::None => Vec::new(),
    }
}

/// `ip=`, of which a kernel without CONFIG_IP_PNP makes a variable of init's: one of the 32.
fn address(network: &Network) -> Result<Option<String>, Error> {
    let Some(ipv4) = network.ipv4(Family::Linux)? else {
        return Ok(None);
    };
    let ipv4 = ipv4.near(Family::Linux)?;
    let nameserver = |n| ipv4.nameservers.get(n).map(ToString::to_string);
    let parts = [
        Some(ipv4.address.ip.to_string()),
        None,
        ipv4.gateway.map(|ip| ip.to_string()),
        Some(ipv4.mask().to_string()),
        network.hostname.clone(),
        Some("eth0".to_owned()),
        Some("off".to_owned()),
        nameserver(0),
        nameserver(1),
    ];
    let parts = parts.map(Option::unwrap_or_default).join(":");
    let word = format!("ip={}", parts.trim_end_matches(':'));
    quoted("hostname", &word).map(Some)
}

fn argument(arg: &str) -> Result<String, Error> {
    match arg {
        // The second one ends them.
        "--" => Err(Error::argument(
            arg,
            "is where Linux stops to read init's arguments",
        )),
        arg => quoted("argument", arg),
    }
}

fn variable(name: &str, value: &str) -> Result<String, Error> {
    if name.contains('.') {
        let why = "has a dot in its name, which Linux takes for a module's parameter";
        return Err(Error::variable(name, why));
    }
    let entry = format!("{name}={value}");
    quoted("environment variable", &entry).map_err(|_| Error::variable(name, NO_QUOTE))
}

const NO_QUOTE: &str = "has a double quote, for which Linux has no escape";

/// In double quotes if it must be. The kernel compares bytes, and to it 0xa0, a part of many
/// characters, is white space too (lib/ctype.c).
fn quoted(what: &'static str, word: &str) -> Result<String, Error> {
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0);
    match word {
        word if word.contains('"') => Err(Error::unfit(what, word, NO_QUOTE)),
        word if word.is_empty() || word.bytes().any(is_space) => Ok(format!("\"{word}\"")),
        word => Ok(word.to_owned()),
    }
}
