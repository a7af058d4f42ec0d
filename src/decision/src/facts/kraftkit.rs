//! kraftkit's keys.

use super::guest_config::GuestConfig;
use super::source::Source;

/// kraftkit's keys, of layers and of whatever copies them.
///
/// Source: kraftkit, oci package, "annotations".
const KERNEL: &str = "org.unikraft.kernel.image";
const INITRD: &str = "org.unikraft.kernel.initrd";
pub(super) const PREFIX: &str = "org.unikraft.kernel.";

/// Reads kraftkit's keys; `to_source` turns a key into its source.
pub(super) fn annotations<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    to_source: fn(String) -> Source,
) -> GuestConfig {
    let mut guest_config = GuestConfig::default();
    for (key, value) in all.filter(|(key, _)| key.starts_with(PREFIX)) {
        let origin = to_source(key.to_owned());
        match key {
            KERNEL => guest_config.kernel = guest_config.kernel_path(value, origin),
            INITRD => guest_config.initrd = guest_config.path(value, origin),
            // The rest says how it was built.
            _ => {}
        }
    }
    guest_config
}
