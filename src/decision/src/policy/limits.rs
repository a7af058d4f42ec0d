//! What a pod's author may ask for by annotations.

use serde::{Deserialize, Deserializer};

use super::glob::Globs;
use crate::facts::quantity::{self, display};
use crate::facts::{Facts, SourceKind, cut, cut_line};
use crate::plan::Plan;

/// The table `[pods]` of a policy file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The annotation keys that are obeyed.
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
    #[error("annotation {key}: this node's policy does not let a pod set it")]
    Key { key: String },
    #[error("{by} asks for {}: {} are the most that this node's policy allows", display(*asked), display(*max))]
    Memory { by: String, asked: u64, max: u64 },
    #[error("{by} asks for {asked} vCPUs: {max} are the most that this node's policy allows")]
    Vcpus { by: String, asked: u64, max: u64 },
    #[error("{by} names {path:?}: this node's policy does not let a pod choose that kernel")]
    Kernel { by: String, path: String },
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
    /// quota is no wish for so many.
    pub fn cap(&self, mut plan: Plan) -> Plan {
        let max = self.vcpus.and_then(|max| u8::try_from(max).ok());
        plan.vcpus = plan.vcpus.min(max.unwrap_or(u8::MAX)).max(1);
        plan
    }

    fn key(&self, facts: &Facts) -> Option<Excess> {
        let allowed = self.annotations.as_ref()?;
        let key = facts.obeyed.iter().find(|key| !allowed.matches(key))?;
        Some(Excess::Key { key: cut(key) })
    }

    /// Amounts are held to their ceiling whoever names them: an image's author is no more
    /// trusted than a pod's.
    fn amount(&self, facts: &Facts) -> Option<Excess> {
        let wishes = &facts.wishes;
        if let (Some(max), Some(said)) = (self.memory, &wishes.memory)
            && said.value > max
        {
            let (by, asked) = (said.by.to_string(), said.value);
            return Some(Excess::Memory { by, asked, max });
        }
        let (max, said) = (self.vcpus?, wishes.vcpus.as_ref()?);
        let (by, asked) = (said.by.to_string(), said.value);
        (asked > max).then_some(Excess::Vcpus { by, asked, max })
    }

    fn kernel(&self, facts: &Facts) -> Option<Excess> {
        let (allowed, said) = (self.kernels.as_ref()?, facts.wishes.kernel.as_ref()?);
        let path = said.value.to_string_lossy().into_owned();
        let by_pod = matches!(said.by.kind(), SourceKind::Annotation | SourceKind::Vm);
        (by_pod && !allowed.matches(&path)).then(|| Excess::Kernel {
            by: said.by.to_string(),
            path: cut_line(&path),
        })
    }
}

/// An amount as Kubernetes writes it.
fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    quantity::deserialize(deserializer).map(Some)
}
