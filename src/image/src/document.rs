//! The documents of an image, as far as they are looked at (image-spec,
//! descriptor.md, image-index.md, manifest.md, config.md; Docker's "Image
//! Manifest V 2, Schema 2" has the same fields).
//!
//! A smaller view than the whole: a media type, platform or field that this
//! build does not know fails nothing. A `null` is what Go makes of it: nothing.
//! What two readers could read in two ways fails: a key that stands twice.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::{MAX_LAYERS, MAX_MANIFESTS};

/// Says where content lies, and what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub media_type: String,
    pub digest: String,
    /// Bytes.
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, deserialize_with = "null_is_nothing")]
    pub annotations: Annotations,
}

/// What a manifest is for. Empty texts where a part is not named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// As Go names it (`amd64`), or as kraftkit does (`x86_64`).
    #[serde(default, deserialize_with = "null_is_nothing")]
    pub architecture: String,
    /// `linux`, or the monitor that kraftkit built for: `kvm`, `qemu`, `fc`, `xen`.
    #[serde(default, deserialize_with = "null_is_nothing")]
    pub os: String,
    /// The CPU's variant: `v8` of arm64, `v1` to `v4` of amd64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Build options (`CONFIG_X=y`) in kraftkit's images: they ask nothing of a host.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "null_is_nothing",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// CPU features that must be there (Docker's manifest list, "features").
    #[serde(
        default,
        deserialize_with = "null_is_nothing",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub features: Vec<String>,
}

impl fmt::Display for Platform {
    /// `os/architecture[/variant]`, without control characters.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let variant = self.variant.iter().flat_map(|v| ["/", v.as_str()]);
        let parts = [self.os.as_str(), "/", &self.architecture];
        for part in parts.into_iter().chain(variant) {
            let text: String = part.chars().filter(|c| !c.is_control()).take(32).collect();
            f.write_str(&text)?;
        }
        Ok(())
    }
}

/// The fields that an index and a manifest have in common, and those that tell them apart.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommonFields {
    pub schema_version: Option<u64>,
    pub media_type: Option<String>,
    pub manifests: Option<IgnoredAny>,
    pub config: Option<IgnoredAny>,
    pub layers: Option<IgnoredAny>,
    /// Of Docker's first schema.
    pub fs_layers: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Index {
    #[serde(deserialize_with = "at_most::<MAX_MANIFESTS, _, _>")]
    pub manifests: Vec<Descriptor>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    #[serde(default, deserialize_with = "at_most::<MAX_LAYERS, _, _>")]
    pub layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "null_is_nothing")]
    pub annotations: Annotations,
}

/// An image's configuration.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(flatten)]
    platform: Platform,
    pub config: Option<ExecutionParameters>,
}

impl Config {
    /// The platform, where the configuration names one.
    pub(crate) fn platform(&self) -> Option<Platform> {
        let named = !self.platform.os.is_empty() || !self.platform.architecture.is_empty();
        named.then(|| self.platform.clone())
    }
}

/// The execution parameters of a configuration (config.md, "config").
#[derive(Debug, Deserialize)]
pub(crate) struct ExecutionParameters {
    #[serde(rename = "Labels", default, deserialize_with = "null_is_nothing")]
    pub labels: Annotations,
    #[serde(rename = "Entrypoint")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(rename = "Cmd")]
    pub command: Option<Vec<String>>,
}

/// What the file `oci-layout` holds (image-spec, image-layout.md, "oci-layout file").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageLayout {
    pub image_layout_version: String,
}

/// Annotations or labels: each key once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Annotations(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EachKeyOnce;
        impl<'de> Visitor<'de> for EachKeyOnce {
            type Value = Annotations;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Option<String>>()? {
                    if all.contains_key(&key) {
                        return Err(A::Error::custom(format_args!("key {key:?} stands twice")));
                    }
                    all.insert(key, value.unwrap_or_default());
                }
                Ok(Annotations(all))
            }
        }
        deserializer.deserialize_map(EachKeyOnce)
    }
}

fn null_is_nothing<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A list that ends with an error once it has more than `MAX` elements, so that
/// a long one costs no memory. `null` is an empty one.
fn at_most<'de, const MAX: usize, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct AtMost<const MAX: usize, T>(PhantomData<T>);
    impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for AtMost<MAX, T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "a list of at most {MAX}")
        }
        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(element) = list.next_element()? {
                if all.len() == MAX {
                    return Err(A::Error::invalid_length(MAX + 1, &self));
                }
                all.push(element);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(AtMost::<MAX, T>(PhantomData))
}
