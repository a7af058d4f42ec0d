//! What a pod's author may ask for by annotations.

use serde::{Deserialize, Deserializer};

use super::glob::Globs;
use crate::facts::quantity::{self, display};
use crate::facts::{Facts, Source, SourceKind, escape_line, escape_short};
use crate::plan::Plan;

/// The table `[pods]` of a policy file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The annotation keys that a pod may set.
    annotations: Option<Globs>,
    /// The most memory that a pod may ask for, in bytes.
    #[serde(default, deserialize_with = "bytes")]
    memory: Option<u64>,
    /// The most virtual CPUs.
    vcpus: Option<u64>,
    /// The kernels, by their path in the image, that a pod may name.
    kernels: Option<Globs>,
}

/// A pod asks for what the node's owner does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// A key that a pod may not set.
    #[error("annotation {key}: this node's policy does not let a pod set it")]
    Key {
        /// The beginning of the key.
        key: String,
    },
    /// More memory than `pods.memory`.
    #[error("{origin} asks for {}: {} are the most that this node's policy allows", display(*asked), display(*max))]
    Memory {
        /// What asks for it.
        origin: Source,
        /// Bytes.
        asked: u64,
        /// Bytes.
        max: u64,
    },
    /// More than `pods.vcpus`.
    #[error("{origin} asks for {asked} vCPUs: {max} are the most that this node's policy allows")]
    Vcpus {
        /// What asks for them.
        origin: Source,
        /// How many.
        asked: u64,
        /// The most.
        max: u64,
    },
    /// A kernel that is not among `pods.kernels`.
    #[error("{origin} names {path:?}: this node's policy does not let a pod choose that kernel")]
    Kernel {
        /// What names it.
        origin: Source,
        /// The beginning of its path.
        path: String,
    },
}

impl Limits {
    /// These, and `other`'s where these say nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            annotations: self.annotations.or(other.annotations),
            memory: self.memory.or(other.memory),
            vcpus: self.vcpus.or(other.vcpus),
            kernels: self.kernels.or(other.kernels),
        }
    }

    /// A line for each limit, as the end of "pods may …".
    pub fn describe(&self) -> Vec<String> {
        let lines = [
            self.annotations.as_ref().map(|keys| format!("set {keys}")),
            self.memory
                .map(|max| format!("ask for {} of memory", display(max))),
            self.vcpus.map(|max| format!("ask for {max} vCPUs")),
            self.kernels
                .as_ref()
                .map(|paths| format!("name the kernels {paths}")),
        ];
        lines.into_iter().flatten().collect()
    }

    /// The first thing that the pod asks for and may not have.
    pub fn excess(&self, facts: &Facts) -> Option<Excess> {
        self.key(facts)
            .or_else(|| self.amount(facts))
            .or_else(|| self.kernel(facts))
    }

    /// The plan, with no more vCPUs than these allow. Only a CPU quota can give more, and a
    /// quota is no request for so many.
    pub fn cap(&self, mut plan: Plan) -> Plan {
        let max = self.vcpus.and_then(|max| u8::try_from(max).ok());
        plan.vcpus = plan.vcpus.min(max.unwrap_or(u8::MAX)).max(1);
        plan
    }

    fn key(&self, facts: &Facts) -> Option<Excess> {
        let allowed = self.annotations.as_ref()?;
        let key = facts
            .recognized_keys
            .iter()
            .find(|key| !allowed.matches(key))?;
        Some(Excess::Key {
            key: escape_short(key),
        })
    }

    /// Amounts are held to their ceiling whoever names them: an image's author is no more
    /// trusted than a pod's.
    fn amount(&self, facts: &Facts) -> Option<Excess> {
        let guest_config = &facts.guest_config;
        if let (Some(max), Some(setting)) = (self.memory, &guest_config.memory)
            && setting.value > max
        {
            let (origin, asked) = (setting.origin.clone(), setting.value);
            return Some(Excess::Memory { origin, asked, max });
        }
        let (max, setting) = (self.vcpus?, guest_config.vcpus.as_ref()?);
        let (origin, asked) = (setting.origin.clone(), setting.value);
        (asked > max).then_some(Excess::Vcpus { origin, asked, max })
    }

    fn kernel(&self, facts: &Facts) -> Option<Excess> {
        let (allowed, setting) = (self.kernels.as_ref()?, facts.guest_config.kernel.as_ref()?);
        let path = setting.value.to_string_lossy().into_owned();
        let by_pod = matches!(
            setting.origin.kind(),
            SourceKind::Annotation | SourceKind::Vm
        );
        (by_pod && !allowed.matches(&path)).then(|| Excess::Kernel {
            origin: setting.origin.clone(),
            path: escape_line(&path),
        })
    }
}

/// An amount as Kubernetes writes it.
fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    quantity::deserialize(deserializer).map(Some)
}
