//! OSv: `[virtio_mmio.device=…]... [--env=NAME=VALUE]... [--cwd=DIR] [OPTION]... PROGRAM
//! [ARGUMENT]...`
//!
//! Its own options are split at blanks with a backslash as the escape; the program's words are
//! quoted.
//!
//! Source: osv, core/commands.cc, core/options.cc, loader.cc (`--rootfs`).

use crate::boot_params::BootParams;
use crate::cmdline::{double_quoted, line};
use crate::error::Error;
use crate::family::Family;
use crate::family_traits::{FamilyTraits, Support, VirtioBus};
use crate::kernel_traits::KernelTraits;
use crate::root::Root;
use crate::sections::Sections;

/// The room that every boot ABI has, less the zero byte.
const MAX_BYTES: usize = 4095;

/// It takes both of virtio's transports, and is interrupted by messages over PCI.
pub(crate) static TRAITS: FamilyTraits = FamilyTraits {
    p9: |_| Support::No,
    virtiofs: |_| Support::Yes,
    block_root: Support::Yes,
    virtio_bus: |_| VirtioBus::Pci,
    has_vsock: false,
    recognize,
    ..FamilyTraits::new(Family::Osv, &["osv"], |_, params| command_line(params))
};

/// Where its tracepoints are patched.
fn recognize(sections: &Sections) -> Option<KernelTraits> {
    let is_osv = sections.has(".tracepoint_patch_sites");
    is_osv.then(|| KernelTraits::new(Family::Osv))
}

/// Arguments before the program that begin with `-` are OSv's own options.
fn command_line(params: &BootParams) -> Result<String, Error> {
    let mut words = params.devices.to_vec();
    for (name, value) in params.variables()? {
        words.push(option(&format!("--env={name}={value}")));
    }
    words.extend(network(params)?);
    if let Some(cwd) = params.working_dir() {
        words.push(option(&format!("--cwd={cwd}")));
    }
    if params.root == Root::Virtiofs {
        words.push("--rootfs=virtiofs".to_owned());
    }
    let is_option = |arg: &&String| arg.starts_with('-');
    let options = params.args.iter().take_while(is_option);
    words.extend(options.map(|arg| option(arg)));
    for arg in params.args.iter().skip_while(is_option) {
        words.push(argument(arg)?);
    }
    line(Family::Osv, &words, MAX_BYTES)
}

/// One address of one device; without one OSv waits for DHCP.
fn network(params: &BootParams) -> Result<Vec<String>, Error> {
    let ipv4 = params.network.map(|network| network.ipv4(Family::Osv));
    let Some(ipv4) = ipv4.transpose()?.flatten() else {
        return Ok(Vec::new());
    };
    let ipv4 = ipv4.near(Family::Osv)?;
    let mut words = vec![format!("--ip=eth0,{},{}", ipv4.address.ip, ipv4.mask())];
    words.extend(ipv4.gateway.map(|ip| format!("--defaultgw={ip}")));
    words.extend(
        ipv4.nameservers
            .first()
            .map(|ip| format!("--nameserver={ip}")),
    );
    Ok(words)
}

fn option(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars() {
        if matches!(c, ' ' | '\t' | '\n' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn argument(arg: &str) -> Result<String, Error> {
    let is_plain = |c: char| !c.is_ascii_whitespace() && !"\x0b\"'\\;&!".contains(c);
    match arg {
        arg if arg.contains('$') => Err(Error::argument(
            arg,
            "has a $, which OSv takes for a variable",
        )),
        arg if !arg.is_empty() && arg.chars().all(is_plain) => Ok(arg.to_owned()),
        arg => Ok(double_quoted(arg)),
    }
}
