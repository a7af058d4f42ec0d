//! Digests: `algorithm:hex` (image-spec, descriptor.md, "Digests").

use std::fmt;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256, Sha512};

use crate::error::ImageError;

/// The algorithms that the image-spec registers and that can be checked here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// A digest that is well-formed: its hex part is a file's name and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest<'a> {
    text: &'a str,
    algorithm: Algorithm,
    hex: &'a str,
}

impl<'a> Digest<'a> {
    /// Reads `sha256:` or `sha512:` with all its lower-case hex digits.
    ///
    /// # Errors
    /// [`ImageError::InvalidDigest`] for anything else.
    pub(crate) fn parse(text: &'a str) -> Result<Self, ImageError> {
        let parsed = text.split_once(':').and_then(|(name, hex)| {
            let (algorithm, digits) = match name {
                "sha256" => (Algorithm::Sha256, 64),
                "sha512" => (Algorithm::Sha512, 128),
                _ => return None,
            };
            let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            (hex.len() == digits && hex.bytes().all(digit)).then_some(Self {
                text,
                algorithm,
                hex,
            })
        });
        parsed.ok_or_else(|| ImageError::invalid_digest(text))
    }

    /// The blob's path in a layout (image-spec, image-layout.md, "Blobs").
    pub(crate) fn path(&self) -> PathBuf {
        let algorithm = match self.algorithm {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        };
        ["blobs", algorithm, self.hex].iter().collect()
    }

    /// Whether these bytes are what the digest names.
    ///
    /// # Errors
    /// [`ImageError::DigestMismatch`] if not.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), ImageError> {
        let found = match self.algorithm {
            Algorithm::Sha256 => hex(&Sha256::digest(bytes)),
            Algorithm::Sha512 => hex(&Sha512::digest(bytes)),
        };
        if found == self.hex {
            return Ok(());
        }
        Err(ImageError::DigestMismatch {
            digest: self.text.to_owned(),
            found,
        })
    }
}

impl fmt::Display for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.text)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_digests_of_known_algorithms_are_read() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let text = format!("sha256:{hex}");
        let digest = Digest::parse(&text).unwrap();
        assert_eq!(digest.path(), PathBuf::from(format!("blobs/sha256/{hex}")));
        assert!(digest.check(b"").is_ok());
        assert!(digest.check(b"x").is_err());
        for bad in [
            "",
            hex,
            "sha256:",
            "sha256:../../../etc/passwd",
            &text[..70],
            &text.to_uppercase(),
            &text.replace("sha256", "sha512"),
            &text.replace("sha256", "md5"),
        ] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }
}
