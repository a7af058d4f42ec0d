//! urunc's convention: keys `com.urunc.unikernel.…`, in annotations, or with base64
//! values in `/urunc.json` of the image.
//!
//! Source: urunc, docs, "Packaging" and pkg/unikontainers/config.go.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::said::{Said, Source};
use super::wishes::{RootWish, Wishes};
use super::{Fault, cut, cut_line};
use bundle::{FileError, Rootfs};

pub(super) const PREFIX: &str = "com.urunc.unikernel.";
const FILE: &str = "/urunc.json";

/// The most of the file that is read, in bytes: a page of keys has a hundredth of it.
const MAX: u64 = 64 << 10;

/// Reads the keys among `all` that are urunc's; `source` makes of one who said it.
pub(super) fn annotations<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    source: fn(String) -> Source,
) -> Wishes {
    let mut wishes = Wishes::default();
    for (key, value) in all {
        wish(&mut wishes, key, value, source(cut(key)));
    }
    wishes
}

/// Reads the image's `/urunc.json`; `None` where there is none.
pub(super) fn file(rootfs: &Rootfs) -> Option<Wishes> {
    let mut wishes = Wishes::default();
    let values = match read(rootfs) {
        Err(FileError::Missing) => return None,
        Err(why) => Err(why.to_string()),
        Ok(text) => parse(&text),
    };
    match values {
        Err(why) => {
            wishes.signs.push(Source::UruncJson(FILE.to_owned()));
            wishes.faults.push(Fault::UruncJson { why });
        }
        Ok(values) => {
            for (key, value) in values {
                wish(&mut wishes, &key, &value, Source::UruncJson(cut(&key)));
            }
        }
    }
    Some(wishes)
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
        let why = cut_line(&e.to_string());
        format!("it is no object of texts: {why}")
    })?;
    let decode = |(key, value): (String, String)| {
        let bytes = STANDARD.decode(value.trim_end());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        // The encoder may have been given a line with its end.
        let text = text.map(|text| text.trim_end_matches('\n').to_owned());
        text.map(|text| (key.clone(), text))
            .ok_or_else(|| format!("the value of {} is no text in base64", cut(&key)))
    };
    encoded.into_iter().map(decode).collect()
}

/// What one key asks for.
fn wish(wishes: &mut Wishes, key: &str, value: &str, by: Source) {
    let Some(name) = key.strip_prefix(PREFIX) else {
        return;
    };
    match name {
        "binary" => wishes.kernel = wishes.kernel_path(value, by),
        "initrd" if !value.is_empty() => wishes.initrd = wishes.path(value, by),
        "cmdline" if !value.is_empty() => wishes.cmdline = wishes.text(value, by),
        "unikernelType" => {
            wishes.signs.push(by.clone());
            wishes.family = wishes.family(value, by);
        }
        // The monitor is runu's own, and the version is for people.
        "initrd" | "cmdline" | "hypervisor" | "unikernelVersion" => {}
        "block" | "blkMntPoint" if value.is_empty() => {}
        "useDMBlock" | "mountRootfs" if value != "true" => {}
        "block" => wishes.block(None, value, by),
        "blkMntPoint" => wishes.mount_point = wishes.path(value, by),
        // An older and a newer name of the same.
        "useDMBlock" | "mountRootfs" => {
            wishes.signs.push(by.clone());
            let value = RootWish::Container;
            wishes.rootfs = Some(Said { value, by });
        }
        _ => wishes.unknown(by),
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
            assert_eq!(root, RootWish::Container);
        }
        for (name, value) in [("binary", ""), ("x", "y")] {
            assert_eq!(read(name, value).faults.len(), 1, "{name}");
        }
    }
}
