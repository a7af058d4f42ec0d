//! rumprun: JSON, `{"cmdline":"PROGRAM ARGUMENT...","env":"NAME=VALUE",...,"hostname":"NAME"}`.
//!
//! It takes its texts out of the JSON as they stand there, escapes and all, and splits the
//! `cmdline` in a second step: a backslash, which JSON wants before a double quote and before
//! itself, is taken away there, in the other texts it stays.
//!
//! Source: rumprun, lib/librumprun_base/config.c and parseargs.c, and jsmn.

use crate::boot_params::BootParams;
use crate::cmdline::check_length;
use crate::error::Error;
use crate::family::Family;
use crate::family_traits::{FamilyTraits, Support};
use crate::kernel_traits::KernelTraits;

/// The room that every boot ABI has, less the zero byte.
const MAX_BYTES: usize = 4095;

/// A disk that its kernel declares would have to be named in the JSON, which is not done.
pub(crate) static TRAITS: FamilyTraits = FamilyTraits {
    p9: |_| Support::No,
    virtiofs: |_| Support::No,
    block_root: Support::No,
    declared_root: false,
    has_vsock: false,
    ..FamilyTraits::new(Family::Rumprun, &["rumprun"], command_line)
};

fn command_line(traits: Option<&KernelTraits>, params: &BootParams) -> Result<String, Error> {
    let words: Vec<_> = params
        .args
        .iter()
        .map(|arg| argument(arg))
        .collect::<Result<_, _>>()?;
    let mut members = vec![format!("\"cmdline\":\"{}\"", words.join(" "))];
    for (name, value) in params.variables()? {
        let entry = format!("{name}={value}");
        check(&entry).map_err(|why| Error::variable(name, why))?;
        members.push(format!("\"env\":\"{entry}\""));
    }
    if let Some(name) = params.hostname {
        check(name).map_err(|why| Error::unfit("hostname", name, why))?;
        members.push(format!("\"hostname\":\"{name}\""));
    }
    members.extend(network(traits, params)?);
    let line = format!("{{{}}}", members.join(","));
    check_length(Family::Rumprun, line, MAX_BYTES)
}

/// One address, of IPv4 where there is one.
fn network(traits: Option<&KernelTraits>, params: &BootParams) -> Result<Option<String>, Error> {
    let Some(network) = params.network else {
        return Ok(None);
    };
    let ipv4 = match network.ipv4(Family::Rumprun) {
        Err(Error::Ipv6Only { .. }) => None,
        ipv4 => ipv4?,
    };
    let (kind, ip, prefix, gateway) = match (ipv4, network.ipv6.first()) {
        (Some(ipv4), _) => {
            let ipv4 = ipv4.near(Family::Rumprun)?;
            let gateway = ipv4.gateway.map(|ip| ip.to_string());
            (
                "inet",
                ipv4.address.ip.to_string(),
                ipv4.address.prefix,
                gateway,
            )
        }
        (None, Some(ipv6)) => {
            let gateway = network.gateway6.map(|ip| ip.to_string());
            ("inet6", ipv6.ip.to_string(), ipv6.prefix, gateway)
        }
        (None, None) => return Ok(None),
    };
    // Solo5's interface has to be made, virtio's is there.
    let is_solo5 = traits.is_some_and(|traits| traits.family == Family::Solo5);
    let name = match is_solo5 {
        true => "\"if\":\"ukvmif0\",\"cloner\":\"true\"",
        false => "\"if\":\"vioif0\"",
    };
    let gateway = gateway.map_or(String::new(), |ip| format!(",\"gw\":\"{ip}\""));
    Ok(Some(format!(
        "\"net\":{{{name},\"type\":\"{kind}\",\"method\":\"static\",\"addr\":\"{ip}\",\"mask\":\"{prefix}\"{gateway}}}"
    )))
}

/// A text that means itself.
fn check(text: &str) -> Result<(), &'static str> {
    match text.contains(|c: char| c.is_control() || matches!(c, '"' | '\\')) {
        true => Err(
            "has a double quote, a backslash or a control character, for which rumprun has no escape",
        ),
        false => Ok(()),
    }
}

fn argument(arg: &str) -> Result<String, Error> {
    if arg.contains(|c: char| c.is_control() || c == '\'') {
        let why = "has a single quote or a control character, for which rumprun has no escape";
        return Err(Error::argument(arg, why));
    }
    let escaped = arg.replace('\\', r"\\").replace('"', r#"\""#);
    Ok(match arg.is_empty() || arg.contains(' ') {
        true => format!("'{escaped}'"),
        false => escaped,
    })
}
