//! kraftkit's keys and the runtime-spec's `vm` object.

use super::said::{Said, Source};
use super::wishes::Wishes;
use bundle::Vm;
use guest;

/// kraftkit's keys, of layers and of whatever copies them.
///
/// Source: kraftkit, oci package, "annotations".
const KERNEL: &str = "org.unikraft.kernel.image";
const INITRD: &str = "org.unikraft.kernel.initrd";
pub(super) const PREFIX: &str = "org.unikraft.kernel.";

/// Reads kraftkit's keys; `source` makes of a key who said it.
pub(super) fn kraftkit<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    source: fn(String) -> Source,
) -> Wishes {
    let mut wishes = Wishes::default();
    for (key, value) in all.filter(|(key, _)| key.starts_with(PREFIX)) {
        let by = source(key.to_owned());
        match key {
            KERNEL => wishes.kernel = wishes.kernel_path(value, by),
            INITRD => wishes.initrd = wishes.path(value, by),
            // The rest says how it was built.
            _ => {}
        }
    }
    wishes
}

/// Reads the runtime-spec's `vm` object (config-vm.md). Go's tools write empty structs
/// for what is not set: they say nothing.
pub(super) fn vm(vm: &Vm) -> Wishes {
    let mut wishes = Wishes::default();
    let set = |path: &Option<String>| path.clone().filter(|path| !path.is_empty());
    if let Some(kernel) = &vm.kernel
        && let Some(path) = set(&kernel.path)
    {
        wishes.kernel = wishes.kernel_path(&path, Source::Vm("vm.kernel.path"));
        wishes.initrd =
            set(&kernel.initrd).and_then(|path| wishes.path(&path, Source::Vm("vm.kernel.initrd")));
        let parameters = kernel.parameters.as_deref().unwrap_or_default();
        if !parameters.is_empty() {
            let text = guest::joined(parameters);
            wishes.cmdline = wishes.text(&text, Source::Vm("vm.kernel.parameters"));
        }
    }
    if vm
        .image
        .as_ref()
        .is_some_and(|image| set(&image.path).is_some())
    {
        wishes.unsupported(Source::Vm("vm.image.path"), "a root image");
    }
    let number = |value: Option<i64>, field| {
        let value = u64::try_from(value?).ok().filter(|&number| number > 0)?;
        let by = Source::Vm(field);
        Some(Said { value, by })
    };
    if let Some(hardware) = &vm.hw_config {
        wishes.memory = number(hardware.memory, "vm.hwConfig.memory");
        wishes.vcpus = number(hardware.vcpus, "vm.hwConfig.vcpus");
    }
    wishes
}
