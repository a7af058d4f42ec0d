//! The bounds on what is read of an image.

/// The largest document that is read, in bytes: containerd's own limit.
pub(crate) const MAX_DOCUMENT: u64 = 4 << 20;

/// The most that is read of all documents together, in bytes.
pub(crate) const MAX_BYTES: u64 = 32 << 20;

/// How deep indexes may nest. Real ones do once.
pub(crate) const MAX_DEPTH: usize = 4;

/// The most manifests in an index. Multi-platform images have some ten.
pub(crate) const MAX_MANIFESTS: usize = 128;

/// The most layers in a manifest. Overlayfs takes some hundred.
pub(crate) const MAX_LAYERS: usize = 1024;

/// The most documents that are read: each of [`MAX_MANIFESTS`] with its
/// configuration, and indexes above them.
pub(crate) const MAX_DOCUMENTS: usize = 3 * MAX_MANIFESTS;
