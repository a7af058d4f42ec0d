//! Which container of which pod this is, by the annotations that containerd's
//! CRI plugin and CRI-O set.

use serde::{Deserialize, Serialize};

use bundle::Config;

/// What the caller says of the container.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Its part in a pod.
    pub kind: Kind,
    /// The container's name in its pod.
    pub name: Option<String>,
    /// The image's name, as the caller has it.
    pub image: Option<String>,
    /// The pod's namespace.
    pub namespace: Option<String>,
    /// The pod's name.
    pub pod: Option<String>,
}

/// The container's part in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The pause container that holds a pod's namespaces.
    Sandbox,
    /// A container of a pod.
    Container,
    /// No pod is known: Docker, Podman, a shell.
    Standalone,
}

/// Keys for: type, container's name, image, pod's namespace, pod's name.
///
/// Source: containerd, pkg/cri/annotations; CRI-O, pkg/annotations.
const CALLERS: [[&str; 5]; 2] = [
    [
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri.container-name",
        "io.kubernetes.cri.image-name",
        "io.kubernetes.cri.sandbox-namespace",
        "io.kubernetes.cri.sandbox-name",
    ],
    [
        "io.kubernetes.cri-o.ContainerType",
        "io.kubernetes.container.name",
        "io.kubernetes.cri-o.ImageName",
        "io.kubernetes.pod.namespace",
        "io.kubernetes.pod.name",
    ],
];

impl Container {
    /// Reads the annotations of either caller.
    pub fn read(config: &Config) -> Self {
        let [kind, name, image, namespace, pod] = CALLERS
            .into_iter()
            .find(|[kind, ..]| config.annotation(kind).is_some())
            .unwrap_or(CALLERS[0]);
        let text = |key| config.annotation(key).map(str::to_owned);
        Self {
            kind: match config.annotation(kind) {
                Some("sandbox") => Kind::Sandbox,
                Some(_) => Kind::Container,
                None => Kind::Standalone,
            },
            name: text(name),
            image: text(image),
            namespace: text(namespace),
            pod: text(pod),
        }
    }
}
