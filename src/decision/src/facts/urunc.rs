//! urunc's convention: keys `com.urunc.unikernel.…`, in annotations, or with base64
//! values in `/urunc.json` of the image.
//!
//! Source: urunc, docs, "Packaging" and pkg/unikontainers/config.go.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::guest_config::{GuestConfig, RootChoice};
use super::source::{Source, Sourced};
use super::{Fault, escape_line, escape_short};
use bundle::{FileError, Rootfs};

pub(super) const PREFIX: &str = "com.urunc.unikernel.";
const FILE: &str = "/urunc.json";

/// The most of the file that is read, in bytes: a page of keys has a hundredth of it.
const MAX: u64 = 64 << 10;

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
    let values = match read(rootfs) {
        Err(FileError::Missing) => return None,
        Err(why) => Err(why.to_string()),
        Ok(text) => parse(&text),
    };
    match values {
        Err(why) => {
            guest_config
                .evidence
                .push(Source::UruncJson(FILE.to_owned()));
            guest_config.faults.push(Fault::UruncJson { why });
        }
        Ok(values) => {
            for (key, value) in values {
                read_key(
                    &mut guest_config,
                    &key,
                    &value,
                    Source::UruncJson(escape_short(&key)),
                );
            }
        }
    }
    Some(guest_config)
}

fn read(rootfs: &Rootfs) -> Result<Vec<u8>, FileError> {
    let file = rootfs.open_plain_file(Path::new(FILE))?;
    let mut text = Vec::new();
    let read = file.take(MAX + 1).read_to_end(&mut text);
    read.map_err(|e| FileError::Io(e.to_string()))?;
    match text.len() as u64 > MAX {
        true => Err(FileError::TooLarge(MAX)),
        false => Ok(text),
    }
}

/// The keys and their values, as texts.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn parse(text: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let encoded: BTreeMap<String, String> = serde_json::from_slice(text).map_err(|e| {
        let why = escape_line(&e.to_string());
        format!("it is no object of texts: {why}")
    })?;
    let decode = |(key, value): (String, String)| {
        let bytes = STANDARD.decode(value.trim_end());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        // The encoder may have been given a line with its end.
        let text = text.map(|text| text.trim_end_matches('\n').to_owned());
        text.map(|text| (key.clone(), text))
            .ok_or_else(|| format!("the value of {} is no text in base64", escape_short(&key)))
    };
    encoded.into_iter().map(decode).collect()
}

/// What one key asks for.
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
    use super::*;

    #[test]
    fn values_are_decoded() {
        let text = br#"{"com.urunc.unikernel.binary":"L2E=","other":"Yg=="}"#;
        let values = parse(text).unwrap();
        assert_eq!(values["com.urunc.unikernel.binary"], "/a");
        for bad in [r#"{"k":"?"}"#, r#"{"k":"/w=="}"#, r#"{"k":1}"#, "[]", ""] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

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
