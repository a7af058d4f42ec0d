//! `/urunc.json` of an image: an object of texts in base64.
//!
//! Source: urunc, docs, "Packaging" and pkg/unikontainers/config.go.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::escape::{escape_line, escape_short};
use super::shared_error::SharedError;
use bundle::{FileError, Rootfs};

/// In the container's rootfs.
pub(super) const PATH: &str = "/urunc.json";

/// The most of the file that is read, in bytes: a page of keys has a hundredth of it.
const MAX: u64 = 64 << 10;

/// Why the file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UruncJsonError {
    /// It cannot be opened or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no JSON, or of another form.
    #[error("it is no object of texts: {}", escape_line(&.0.to_string()))]
    Syntax(#[source] SharedError<serde_json::Error>),
    /// A value is no text in base64.
    #[error("the value of {key} is no text in base64")]
    Value {
        /// The beginning of the value's key.
        key: String,
    },
}

/// Texts by their keys.
type Values = BTreeMap<String, String>;

/// The keys and their values, decoded.
///
/// # Errors
/// [`UruncJsonError`]; of a file that is not there, [`FileError::Missing`].
pub(super) fn read(rootfs: &Rootfs) -> Result<Values, UruncJsonError> {
    let file = rootfs.open_plain_file(Path::new(PATH))?;
    let mut text = Vec::new();
    // One byte more shows that there is more.
    file.take(MAX + 1)
        .read_to_end(&mut text)
        .map_err(FileError::from)?;
    match u64::try_from(text.len()) {
        Ok(0..=MAX) => parse(&text),
        _ => Err(FileError::TooLarge(MAX).into()),
    }
}

fn parse(text: &[u8]) -> Result<Values, UruncJsonError> {
    let encoded: Values =
        serde_json::from_slice(text).map_err(|e| UruncJsonError::Syntax(e.into()))?;
    let decode = |(key, value): (String, String)| {
        let bytes = STANDARD.decode(value.trim_end());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        // The encoder may have been given a line with its end.
        let text = text.map(|text| text.trim_end_matches('\n').to_owned());
        text.map(|text| (key.clone(), text))
            .ok_or_else(|| UruncJsonError::Value {
                key: escape_short(&key),
            })
    };
    encoded.into_iter().map(decode).collect()
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
}
