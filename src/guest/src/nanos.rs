//! Nanos: `arguments.N=ARGUMENT environment.NAME=VALUE cwd=DIR`, merged into the manifest of
//! its root image, where the program stands. Blanks split it, and nothing quotes.
//!
//! Source: nanos, src/kernel/init.c (`cmdline_apply`), src/unix/exec.c, src/net/net.c.

use crate::boot_params::BootParams;
use crate::cmdline::line;
use crate::error::Error;
use crate::family::Family;
use crate::family_traits::{FamilyTraits, Support, VirtioBus};

/// The room that every boot ABI has, less the zero byte.
const MAX_BYTES: usize = 4095;

/// It takes both of virtio's transports, and is interrupted by messages over PCI.
pub(crate) static TRAITS: FamilyTraits = FamilyTraits {
    p9: |_| Support::No,
    virtiofs: |_| Support::No,
    block_root: Support::Yes,
    virtio_bus: |_| VirtioBus::Pci,
    ..FamilyTraits::new(Family::Nanos, &["nanos"], |_, params| command_line(params))
};

fn command_line(params: &BootParams) -> Result<String, Error> {
    let mut words = Vec::new();
    for (n, arg) in params.args.iter().enumerate() {
        check(arg).map_err(|why| Error::argument(arg, why))?;
        words.push(format!("arguments.{n}={arg}"));
    }
    for (name, value) in params.variables()? {
        check(value).map_err(|why| Error::variable(name, why))?;
        if name.contains([' ', '.']) {
            let why = "has a blank or a dot in its name, which Nanos reads otherwise";
            return Err(Error::variable(name, why));
        }
        words.push(format!("environment.{name}={value}"));
    }
    if let Some(cwd) = params.working_dir() {
        check(cwd).map_err(|why| Error::unfit("working directory", cwd, why))?;
        words.push(format!("cwd={cwd}"));
    }
    words.extend(network(params)?);
    line(Family::Nanos, &words, MAX_BYTES)
}

/// The first device is `en1`. Of IPv6 it takes an address, and asks the network for the rest.
fn network(params: &BootParams) -> Result<Vec<String>, Error> {
    let Some(network) = params.network else {
        return Ok(Vec::new());
    };
    let ipv6 = network.ipv6.first();
    let ipv4 = match network.ipv4(Family::Nanos) {
        Err(Error::Ipv6Only { .. }) => None,
        ipv4 => ipv4?,
    };
    let mtu = (ipv4.is_some() || ipv6.is_some()).then(|| network.mtu.to_string());
    let words = [
        (
            "ipaddr",
            ipv4.as_ref().map(|ipv4| ipv4.address.ip.to_string()),
        ),
        ("netmask", ipv4.as_ref().map(|ipv4| ipv4.mask().to_string())),
        (
            "gateway",
            ipv4.and_then(|ipv4| ipv4.gateway).map(|ip| ip.to_string()),
        ),
        ("ip6addr", ipv6.map(|address| address.ip.to_string())),
        ("mtu", mtu),
    ];
    let word = |(name, value)| Some(format!("en1.{name}={}", Option::<String>::clone(&value)?));
    Ok(words.into_iter().filter_map(word).collect())
}

fn check(value: &str) -> Result<(), &'static str> {
    match value {
        "" => Err("is empty, which Nanos takes for nothing"),
        value if value.contains(' ') => Err("has a blank, which Nanos cannot quote"),
        _ => Ok(()),
    }
}
