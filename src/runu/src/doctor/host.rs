//! What a host has beside KVM: processor, memory, devices, cgroups.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use libcgroups::common::{CgroupSetup, get_cgroup_setup};
use serde_json::json;

use super::check::{Check, one_line};
use decision::facts::Host;
use decision::facts::quantity::display;
use image;

const TUN: &str = "/dev/net/tun";

/// What guests may be built for, as Linux names it in /proc/cpuinfo.
const FEATURES: [&str; 10] = [
    "sse2", "sse4_2", "aes", "xsave", "avx", "avx2", "fsgsbase", "rdrand", "rdseed", "pdpe1gb",
];

/// Below this much memory, in bytes, hardly a guest finds room beside a kubelet.
const LITTLE: u64 = 512 << 20;

/// The processor's features.
pub(super) fn cpu() -> Check {
    let host = match image::Host::here(false) {
        Ok(host) => host,
        Err(why) => {
            let cure = "mount proc at /proc";
            return Check::missing("cpu", one_line(&why), cure);
        }
    };
    let has: BTreeMap<_, _> = FEATURES
        .iter()
        .map(|name| (*name, host.cpu_features.contains(*name)))
        .collect();
    let named = |wanted: bool| {
        let names = FEATURES.iter().filter(|name| has[**name] == wanted);
        names.copied().collect::<Vec<_>>().join(", ")
    };
    let details = json!({ "architecture": host.architecture, "features": has });
    let found = format!("{}, with {}", host.architecture, named(true));
    match named(false) {
        lacking if lacking.is_empty() => Check::ok("cpu", found),
        lacking => Check::limited(
            "cpu",
            format!("{found}, without {lacking}"),
            "guests that are built for these need another processor",
        ),
    }
    .with(details)
}

/// The host's memory.
pub(super) fn memory() -> Check {
    let bytes = Host::read().memory;
    let found = display(bytes);
    let check = match bytes {
        0 => Check::limited("memory", "unknown", "mount proc at /proc"),
        1..LITTLE => Check::limited("memory", found, "give this host 512 MiB or more"),
        _ => Check::ok("memory", found),
    };
    check.with(json!({ "bytes": bytes }))
}

/// The device that a guest's network is made of.
pub(super) fn tun() -> Check {
    match File::options().read(true).write(true).open(TUN) {
        Ok(_) => Check::ok("tun", TUN),
        Err(why) => Check::limited(
            "tun",
            format!("{TUN}: {why}"),
            "load the module tun; guests with a network device cannot start without it",
        ),
    }
}

/// The controllers that limit a container.
pub(super) fn cgroups() -> Check {
    let setup = match get_cgroup_setup() {
        Ok(setup) => setup,
        Err(why) => {
            let cure = "mount cgroups at /sys/fs/cgroup";
            return Check::missing("cgroups", one_line(&why), cure);
        }
    };
    let wanted: &[&str] = match setup {
        CgroupSetup::Unified => &["cpu", "io", "memory", "pids"],
        CgroupSetup::Legacy | CgroupSetup::Hybrid => {
            &["blkio", "cpu", "devices", "freezer", "memory", "pids"]
        }
    };
    let (has, lacks): (Vec<&str>, Vec<&str>) = wanted.iter().partition(|name| has_controller(name));
    let has = has.join(", ");
    let found = format!("{setup}, with {has}");
    let details = json!({ "setup": setup.to_string(), "lacking": lacks });
    match lacks.is_empty() {
        true => Check::ok("cgroups", found),
        false => Check::limited(
            "cgroups",
            format!("{found}, without {}", lacks.join(", ")),
            "limits of these are refused: switch them on by the kernel's command line or in \
             cgroup.subtree_control",
        ),
    }
    .with(details)
}

/// Under v1 a controller is a directory, under v2 a word in cgroup.controllers (cgroups(7)).
fn has_controller(name: &str) -> bool {
    let top = Path::new("/sys/fs/cgroup");
    let unified = std::fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default();
    unified.split_whitespace().any(|word| word == name) || top.join(name).is_dir()
}
