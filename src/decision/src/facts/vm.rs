//! The runtime-spec's `vm` object.

use super::guest_config::GuestConfig;
use super::source::{Source, Sourced};
use bundle::Vm;

/// Reads the runtime-spec's `vm` object (config-vm.md). Go's tools write empty structs
/// for what is not set: they say nothing.
pub(super) fn read(vm: &Vm) -> GuestConfig {
    let mut guest_config = GuestConfig::default();
    let set = |path: &Option<String>| path.clone().filter(|path| !path.is_empty());
    if let Some(kernel) = &vm.kernel
        && let Some(path) = set(&kernel.path)
    {
        guest_config.kernel = guest_config.kernel_path(&path, Source::Vm("vm.kernel.path"));
        guest_config.initrd = set(&kernel.initrd)
            .and_then(|path| guest_config.path(&path, Source::Vm("vm.kernel.initrd")));
        let parameters = kernel.parameters.as_deref().unwrap_or_default();
        if !parameters.is_empty() {
            let text = guest::joined(parameters);
            guest_config.cmdline = guest_config.text(&text, Source::Vm("vm.kernel.parameters"));
        }
    }
    if vm
        .image
        .as_ref()
        .is_some_and(|image| set(&image.path).is_some())
    {
        guest_config.unsupported(Source::Vm("vm.image.path"), "a root image");
    }
    let number = |value: Option<i64>, field| {
        let value = u64::try_from(value?).ok().filter(|&number| number > 0)?;
        let origin = Source::Vm(field);
        Some(Sourced { value, origin })
    };
    if let Some(hardware) = &vm.hw_config {
        guest_config.memory = number(hardware.memory, "vm.hwConfig.memory");
        guest_config.vcpus = number(hardware.vcpus, "vm.hwConfig.vcpus");
    }
    guest_config
}
