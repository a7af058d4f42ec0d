//! urunc's convention: keys `com.urunc.unikernel.…`, in annotations, or with base64
//! values in `/urunc.json` of the image.
//!
//! Source: urunc, docs, "Packaging" and pkg/unikontainers/config.go.

use super::config_fault::ConfigFault;
use super::escape::escape_short;
use super::guest_config::{GuestConfig, RootChoice};
use super::source::{Source, Sourced};
use super::urunc_json::{self, UruncJsonError};
use bundle::{FileError, Rootfs};

pub(super) const PREFIX: &str = "com.urunc.unikernel.";

/// Reads the keys among `all` that are urunc's; `to_source` turns a key into its source.
pub(super) fn annotations<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    to_source: fn(String) -> Source,
) -> GuestConfig {
    let mut guest_config = GuestConfig::default();
    for (key, value) in all {
        read_key(&mut guest_config, key, value, to_source(escape_short(key)));
    }
    guest_config
}

/// Reads the image's `/urunc.json`; `None` where there is none.
pub(super) fn file(rootfs: &Rootfs) -> Option<GuestConfig> {
    let mut guest_config = GuestConfig::default();
    match urunc_json::read(rootfs) {
        Err(UruncJsonError::File(FileError::Missing)) => return None,
        Err(why) => {
            let origin = Source::UruncJson(urunc_json::PATH.to_owned());
            guest_config.evidence.push(origin);
            guest_config.faults.push(ConfigFault::UruncJson(why));
        }
        Ok(values) => {
            for (key, value) in values {
                let origin = Source::UruncJson(escape_short(&key));
                read_key(&mut guest_config, &key, &value, origin);
            }
        }
    }
    Some(guest_config)
}

/// Takes in one key.
fn read_key(guest_config: &mut GuestConfig, key: &str, value: &str, origin: Source) {
    let Some(name) = key.strip_prefix(PREFIX) else {
        return;
    };
    match name {
        "binary" => guest_config.kernel = guest_config.kernel_path(value, origin),
        "initrd" if !value.is_empty() => guest_config.initrd = guest_config.path(value, origin),
        "cmdline" if !value.is_empty() => guest_config.cmdline = guest_config.text(value, origin),
        "unikernelType" => {
            guest_config.evidence.push(origin.clone());
            guest_config.family = guest_config.family(value, origin);
        }
        // The monitor is runu's own, and the version is for people.
        "initrd" | "cmdline" | "hypervisor" | "unikernelVersion" => {}
        "block" | "blkMntPoint" if value.is_empty() => {}
        "useDMBlock" | "mountRootfs" if value != "true" => {}
        "block" => guest_config.block(None, value, origin),
        "blkMntPoint" => guest_config.mount_point = guest_config.path(value, origin),
        // An older and a newer name of the same.
        "useDMBlock" | "mountRootfs" => {
            guest_config.evidence.push(origin.clone());
            let value = RootChoice::Container;
            guest_config.rootfs = Some(Sourced { value, origin });
        }
        _ => guest_config.unknown(origin),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn keys_and_their_meaning() {
        let key = |name: &str| format!("{PREFIX}{name}");
        let read = |name: &str, value: &str| {
            annotations([(&*key(name), value)].into_iter(), Source::Annotation)
        };
        assert_eq!(read("binary", "/k").kernel.unwrap().value, Path::new("/k"));
        assert_eq!(
            read("unikernelType", "mirage").family.unwrap().value,
            "mirage"
        );
        assert_eq!(read("block", "/d").blocks[0].image.value, Path::new("/d"));
        for (name, value) in [("hypervisor", "qemu"), ("useDMBlock", "false")] {
            assert_eq!(read(name, value).faults, [], "{name}");
        }
        for name in ["useDMBlock", "mountRootfs"] {
            let root = read(name, "true").rootfs.unwrap().value;
            assert_eq!(root, RootChoice::Container);
        }
        for (name, value) in [("binary", ""), ("x", "y")] {
            assert_eq!(read(name, value).faults.len(), 1, "{name}");
        }
    }
}
