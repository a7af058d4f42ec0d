//! What the selection of a manifest needs to know of the host.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

use serde::{Deserialize, Serialize};

use crate::error::ImageError;

const CPUINFO: &str = "/proc/cpuinfo";

/// A host, as far as images ask anything of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// As Go and the image-spec name it.
    pub architecture: String,
    /// Whether a unikernel can run here at all.
    pub kvm: bool,
    /// As Linux names them in /proc/cpuinfo.
    pub cpu_features: BTreeSet<String>,
}

/// What each level of amd64 has that the one below has not (x86-64 psABI,
/// "Micro-Architecture Levels"), as Linux names it.
const AMD64_LEVELS: [&[&str]; 3] = [
    &[
        "cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3",
    ],
    &[
        "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave",
    ],
    &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
];

impl Host {
    /// This host. `kvm` is whether /dev/kvm can be used.
    ///
    /// # Errors
    /// [`ImageError::Read`] where /proc/cpuinfo cannot be read.
    pub fn here(kvm: bool) -> Result<Self, ImageError> {
        Ok(Self {
            architecture: goarch(std::env::consts::ARCH).to_owned(),
            kvm,
            cpu_features: cpu_features().map_err(|error| ImageError::read(CPUINFO, error))?,
        })
    }

    /// Which of these CPU features are not here. Docker's documents write them
    /// like `sse4` or `aes`, others like `SSE4.2` or `avx512-f`.
    pub fn missing<'a>(&self, features: &'a [String]) -> Vec<&'a str> {
        let wanted = features.iter().map(String::as_str);
        wanted.filter(|feature| !self.has(feature)).collect()
    }

    fn has(&self, feature: &str) -> bool {
        let name = feature.to_ascii_lowercase().replace(['.', '-'], "_");
        let linux: &[&str] = match name.as_str() {
            "sse3" => &["pni"],
            "sse4" => &["sse4_1", "sse4_2"],
            "lzcnt" => &["abm"],
            _ => return self.cpu_features.contains(&name),
        };
        linux.iter().all(|name| self.cpu_features.contains(*name))
    }

    /// The level of amd64 that a platform's variant asks for, 1 where it names
    /// none; `None` where this host is below it, or it is no level.
    pub fn amd64_level(&self, variant: Option<&str>) -> Option<u8> {
        let level: u8 = match variant {
            None | Some("") => 1,
            Some(text) => text.strip_prefix('v')?.parse().ok()?,
        };
        let below = usize::from(level.checked_sub(1)?);
        let needed = AMD64_LEVELS.get(..below)?;
        let mut names = needed.iter().copied().flatten();
        names
            .all(|name| self.cpu_features.contains(*name))
            .then_some(level)
    }
}

/// An architecture's name in the image-spec (Go's), from Rust's, uname's or
/// kraftkit's.
pub(crate) fn goarch(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        other => other,
    }
}

/// The first CPU's features, by proc(5): `flags`, on Arm `Features`.
fn cpu_features() -> io::Result<BTreeSet<String>> {
    for line in BufReader::new(File::open(CPUINFO)?).lines() {
        let line = line?;
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        if matches!(key.trim(), "flags" | "Features") {
            return Ok(value.split_whitespace().map(str::to_owned).collect());
        }
    }
    Ok(BTreeSet::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(features: &[&str]) -> Host {
        Host {
            architecture: "amd64".into(),
            kvm: true,
            cpu_features: features.iter().map(|&f| f.to_owned()).collect(),
        }
    }

    #[test]
    fn levels_need_all_their_features() {
        let second = host(AMD64_LEVELS[0]);
        assert_eq!(second.amd64_level(None), Some(1));
        assert_eq!(second.amd64_level(Some("v2")), Some(2));
        assert_eq!(second.amd64_level(Some("v3")), None);
        let all = host(&AMD64_LEVELS.concat());
        assert_eq!(all.amd64_level(Some("v4")), Some(4));
        for none in ["v0", "v5", "v255", "v", "3", "x"] {
            assert_eq!(all.amd64_level(Some(none)), None, "{none}");
        }
    }

    #[test]
    fn features_are_found_under_the_names_that_images_use() {
        let host = host(&["pni", "sse4_1", "aes"]);
        let asked = ["SSE3", "sse4.1", "sse4", "aes", "avx2"].map(str::to_owned);
        assert_eq!(host.missing(&asked), ["sse4", "avx2"]);
    }

    #[test]
    fn this_host_has_some() {
        let here = Host::here(false).unwrap();
        assert!(!here.cpu_features.is_empty());
        assert_eq!(goarch(std::env::consts::ARCH), here.architecture);
    }
}
