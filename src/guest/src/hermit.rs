//! Hermit: `NAME [env=NAME=VALUE]... -- [ARGUMENT]...`, split as a POSIX shell does.
//!
//! The kernel takes its own options before `--`, and the first other word there for the
//! program's name.
//!
//! Source: hermit-os/kernel, src/env (its parser is the crate shlex), src/executor/device.rs.

use crate::boot_params::BootParams;
use crate::cmdline::line;
use crate::error::Error;
use crate::family::Family;
use crate::family_traits::{FamilyTraits, Support, VirtioBus};
use crate::root::HERMIT_TAG;

/// The room that every boot ABI has, less the zero byte.
const MAX_BYTES: usize = 4095;

/// Its PCI driver passes over a function that has the legacy interface too (src/drivers/virtio/
/// transport/pci.rs).
pub(crate) static TRAITS: FamilyTraits = FamilyTraits {
    p9: |_| Support::No,
    virtiofs: |_| Support::Yes,
    virtiofs_tag: HERMIT_TAG,
    block_root: Support::No,
    virtio_bus: |_| VirtioBus::PciModern,
    ..FamilyTraits::new(Family::Hermit, &["hermit"], |_, params| {
        command_line(params)
    })
};

fn command_line(params: &BootParams) -> Result<String, Error> {
    let mut words = Vec::new();
    let (name, args) = match params.args.split_first() {
        Some((name, args)) => (Some(name), args),
        None => (None, params.args),
    };
    if let Some(name) = name {
        if name.is_empty() || name.starts_with('-') || name.contains('=') {
            let why = "is no program's name: Hermit would take it for an option of its own";
            return Err(Error::argument(name, why));
        }
        words.push(quoted(name));
    }
    words.extend_from_slice(params.devices);
    for (name, value) in params.variables()? {
        words.push(quoted(&format!("env={name}={value}")));
    }
    words.extend(network(params)?);
    if !args.is_empty() {
        words.push("--".to_owned());
        words.extend(args.iter().map(|arg| quoted(arg)));
    }
    line(Family::Hermit, &words, MAX_BYTES)
}

/// Variables of the kernel's own. Whoever sets one of them knows better.
fn network(params: &BootParams) -> Result<Vec<String>, Error> {
    let ipv4 = params.network.map(|network| network.ipv4(Family::Hermit));
    let Some(ipv4) = ipv4.transpose()?.flatten() else {
        return Ok(Vec::new());
    };
    let set = params.variables()?;
    let variables = [
        ("HERMIT_IP", Some(ipv4.address.ip)),
        ("HERMIT_MASK", Some(ipv4.mask())),
        ("HERMIT_GATEWAY", ipv4.gateway),
        ("HERMIT_DNS1", ipv4.nameservers.first().copied()),
        ("HERMIT_DNS2", ipv4.nameservers.get(1).copied()),
    ];
    let is_set = |name: &str| set.iter().any(|(other, _)| *other == name);
    let variables = variables.into_iter().filter(|(name, _)| !is_set(name));
    let words = variables.filter_map(|(name, ip)| Some(format!("env={name}={}", ip?)));
    Ok(words.collect())
}

/// In single quotes if it must be: in them all is plain but the quote itself.
fn quoted(word: &str) -> String {
    let is_plain =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_=/.,:+@%^".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
