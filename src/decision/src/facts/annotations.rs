//! `runu.dev/…` annotations, from text to types.
//!
//! A pod's annotations reach every container of the pod, so a key may be meant
//! for a neighbour: what is wrong here is noted as a [`Fault`], and the policy
//! says whom it stops.

use serde::{Deserialize, Serialize};

use super::config_fault::ConfigFault;
use super::escape::escape_short;
use super::guest_config::GuestConfig;
use super::source::Source;

/// What all of runu's own annotations begin with.
pub const PREFIX: &str = "runu.dev/";

/// The keys that may be meant for one container of a pod: with a dot and its name behind.
const OF_ONE: [&str; 4] = ["mode", "network", "ports", "vsock"];

/// What `runu.dev/mode` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As the image says.
    Auto,
    /// A unikernel, or nothing.
    Unikernel,
    /// An ordinary container.
    Container,
}

/// A mode that was asked for, and the key that asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModeChoice {
    /// What it asks for.
    pub value: Mode,
    /// The annotation: `runu.dev/mode`, or that of one container.
    pub key: String,
}

impl ModeChoice {
    /// Whether it is set for all the containers of a pod.
    pub fn is_pod_wide(&self) -> bool {
        self.key.strip_prefix(PREFIX) == Some("mode")
    }
}

/// Reads runu's own annotations for the container that the pod calls `container`
/// (`None` where no pod is known): its mode (`runu.dev/mode.<container>`, or else
/// `runu.dev/mode`) and its guest configuration, parts of which may be its own too; `to_source` turns a key into
/// its source.
pub(super) fn read<'a>(
    all: impl Iterator<Item = (&'a str, &'a str)>,
    container: Option<&str>,
    to_source: fn(String) -> Source,
) -> (Option<ModeChoice>, GuestConfig) {
    let mut guest_config = GuestConfig::default();
    let (mut own_mode, mut pod_mode) = (None, None);
    // The container's own, and the pod's.
    let (mut network, mut ports, mut vsock) = ((None, None), (None, None), (None, None));
    for (key, value) in all {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let origin = to_source(escape_short(key));
        match name {
            "mode" => pod_mode = mode(&mut guest_config, key, value, origin),
            "kernel" => guest_config.kernel = guest_config.kernel_path(value, origin),
            "initrd" => guest_config.initrd = guest_config.path(value, origin),
            "cmdline" => guest_config.cmdline = guest_config.text(value, origin),
            "family" => guest_config.family = guest_config.family(value, origin),
            "memory" => guest_config.memory = guest_config.bytes(value, origin),
            "vcpus" => guest_config.vcpus = guest_config.count(value, origin),
            "rootfs" => guest_config.rootfs = guest_config.rootfs(value, origin),
            "network" => network.1 = guest_config.network_choice(value, origin),
            "ports" => ports.1 = guest_config.port_list(value, origin),
            "vsock" => vsock.1 = guest_config.socket(value, origin),
            "virtio" => guest_config.virtio = guest_config.transport(value, origin),
            "block" => guest_config.block(None, value, origin),
            _ => match name.split_once('.') {
                Some(("mode", name)) if Some(name) == container => {
                    own_mode = mode(&mut guest_config, key, value, origin);
                }
                Some(("network", name)) if Some(name) == container => {
                    network.0 = guest_config.network_choice(value, origin);
                }
                Some(("ports", name)) if Some(name) == container => {
                    ports.0 = guest_config.port_list(value, origin);
                }
                Some(("vsock", name)) if Some(name) == container => {
                    vsock.0 = guest_config.socket(value, origin);
                }
                // The choice of another container of this pod.
                Some((name, _)) if OF_ONE.contains(&name) => {}
                Some(("block", device)) => guest_config.block(Some(device), value, origin),
                _ => guest_config.unknown(origin),
            },
        }
    }
    guest_config.network = network.0.or(network.1);
    guest_config.ports = ports.0.or(ports.1);
    guest_config.vsock = vsock.0.or(vsock.1);
    (own_mode.or(pod_mode), guest_config)
}

/// Whether a key is the choice for one container of a pod, and not for the one that the pod
/// calls `container`.
pub(super) fn is_of_another(key: &str, container: Option<&str>) -> bool {
    let name = key
        .strip_prefix(PREFIX)
        .and_then(|name| name.split_once('.'));
    name.is_some_and(|(kind, name)| OF_ONE.contains(&kind) && Some(name) != container)
}

fn mode(
    guest_config: &mut GuestConfig,
    key: &str,
    value: &str,
    origin: Source,
) -> Option<ModeChoice> {
    let mode = match value {
        "auto" => Mode::Auto,
        "unikernel" => Mode::Unikernel,
        "container" => Mode::Container,
        _ => {
            let value = escape_short(value);
            guest_config.evidence.push(origin.clone());
            guest_config
                .faults
                .push(ConfigFault::UnknownMode { origin, value });
            return None;
        }
    };
    if mode == Mode::Unikernel {
        guest_config.evidence.push(origin);
    }
    Some(ModeChoice {
        value: mode,
        key: key.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], container: Option<&str>) -> (Option<ModeChoice>, GuestConfig) {
        super::read(pairs.iter().copied(), container, Source::Annotation)
    }

    #[test]
    fn a_containers_own_mode_wins_over_the_pods() {
        let pod = [
            ("runu.dev/mode", "unikernel"),
            ("runu.dev/mode.proxy", "container"),
        ];
        let mode = |name| read(&pod, name).0.unwrap();
        assert_eq!(mode(Some("proxy")).value, Mode::Container);
        assert_eq!(mode(Some("app")).value, Mode::Unikernel);
        assert!(mode(None).is_pod_wide() && !mode(Some("proxy")).is_pod_wide());
    }

    #[test]
    fn so_do_its_network_its_ports_and_its_socket() {
        let pod = [
            ("runu.dev/network.proxy", "none"),
            ("runu.dev/ports", "80/tcp"),
            ("runu.dev/ports.dns", "53/udp"),
        ];
        let ports = |name| read(&pod, Some(name)).1.ports.unwrap().value.to_string();
        assert_eq!(
            (ports("app"), ports("dns")),
            ("80/tcp".into(), "53/udp".into())
        );
        let pod = [&pod[..], &[("runu.dev/vsock.dns", "/run/dns")]].concat();
        let vsock = |name| read(&pod, Some(name)).1.vsock.is_some();
        assert!(vsock("dns") && !vsock("app"));
        let network = |name| read(&pod, Some(name)).1.network.is_some();
        assert!(network("proxy") && !network("app"));
        // Whoever is not meant is not troubled by it.
        let (_, guest_config) = read(&[("runu.dev/ports.dns", "x")], Some("app"));
        assert_eq!(guest_config, GuestConfig::default());
        assert!(is_of_another("runu.dev/ports.dns", Some("app")));
        assert!(!is_of_another("runu.dev/ports.dns", Some("dns")));
        assert!(!is_of_another("runu.dev/block.dns", Some("app")));
    }

    #[test]
    fn what_is_not_understood_is_noted() {
        let (mode, bad) = read(&[("runu.dev/mode", "vm"), ("runu.dev/kernal", "/k")], None);
        assert_eq!((mode, bad.faults.len(), bad.evidence.len()), (None, 2, 2));
        // How, not whether: these alone make no unikernel.
        let (_, bad) = read(
            &[
                ("runu.dev/memory", "1e30"),
                ("runu.dev/cmdline", "a\nb"),
                ("runu.dev/vcpus", "0"),
            ],
            None,
        );
        assert_eq!((bad.faults.len(), bad.evidence.len()), (3, 0));
    }

    #[test]
    fn others_annotations_are_not_looked_at() {
        let none = read(
            &[("runu.devious/mode", "x"), ("a", "b"), ("runu.de", "v")],
            None,
        );
        assert_eq!(none, (None, GuestConfig::default()));
    }
}
