//! The evidence that an image is a unikernel's: what it says of itself to that effect.

use crate::document::{Descriptor, Manifest, Platform};
use crate::text::cut;

/// Platforms' operating systems that are monitors: what kraftkit writes there.
const MONITORS: &[&str] = &["kvm", "qemu", "fc", "firecracker", "xen"];

/// Parts of media types: kraftkit's, and what others put in theirs.
const MEDIA_TYPES: &[&str] = &["application/vnd.unikraft.", "unikernel"];

/// Annotations of unikernels: runu's own, kraftkit's, urunc's.
const PREFIXES: &[&str] = &["runu.dev/", "org.unikraft.", "com.urunc.unikernel."];

/// Whether an annotation's key is one of a unikernel.
pub(crate) fn is_unikernel_key(key: &str) -> bool {
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// The first evidence, as one line for people: the platform, the artifact type, another media
/// type, an annotation of the manifest or a layer.
pub(crate) fn find<'a>(
    platform: Option<&Platform>,
    artifact_type: Option<&str>,
    mut content_types: impl Iterator<Item = &'a str>,
    mut keys: impl Iterator<Item = &'a str>,
) -> Option<String> {
    if let Some(platform) = platform.filter(|p| MONITORS.contains(&p.os.as_str())) {
        return Some(format!("its platform is {platform}"));
    }
    if let Some(kind) = artifact_type.filter(|kind| is_unikernel_type(kind)) {
        return Some(format!("its artifact type is {}", cut(kind)));
    }
    if let Some(kind) = content_types.find(|kind| is_unikernel_type(kind)) {
        return Some(format!("it has content of type {}", cut(kind)));
    }
    let key = keys.find(|key| is_unikernel_key(key))?;
    Some(format!("it has the annotation {}", cut(key)))
}

/// The first evidence in a manifest.
pub(crate) fn of_manifest(
    platform: Option<&Platform>,
    artifact_type: Option<&str>,
    descriptor: &Descriptor,
    manifest: &Manifest,
) -> Option<String> {
    let contents = manifest.layers.iter().chain([&manifest.config]);
    let own = manifest.annotations.0.keys();
    let layers = manifest.layers.iter().flat_map(|l| l.annotations.0.keys());
    let keys = own.chain(descriptor.annotations.0.keys()).chain(layers);
    find(
        platform,
        artifact_type,
        contents.map(|content| content.media_type.as_str()),
        keys.map(String::as_str),
    )
}

fn is_unikernel_type(media_type: &str) -> bool {
    MEDIA_TYPES.iter().any(|part| media_type.contains(part))
}
