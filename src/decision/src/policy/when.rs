//! A rule's conditions.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::glob::{Globs, OneOf, all_fit, any_fits, fits, is, one_of};
use super::media::MediaWhen;
use crate::facts::quantity;
use crate::facts::{Facts, Kind, Mode, SourceKind, State};

/// Conditions; those that are given must all hold. One on something that there is not
/// (an image's name where the caller gave none) does not hold.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    // The container, as its caller describes it.
    kind: Option<OneOf<Kind>>,
    namespace: Option<Globs>,
    pod: Option<Globs>,
    container: Option<Globs>,
    image: Option<Globs>,

    // What annotations say.
    mode: Option<OneOf<Mode>>,
    contradiction: Option<bool>,
    #[serde(rename = "sign")]
    evidence: Option<bool>,
    annotations: Option<BTreeMap<String, Globs>>,

    // The kernel.
    kernel: Option<OneOf<SourceKind>>,
    kernel_path: Option<Globs>,
    abi: Option<Globs>,
    architecture: Option<Globs>,
    family: Option<Globs>,
    digest: Option<Globs>,

    /// What the image says of itself.
    media: Option<MediaWhen>,

    // The host.
    kvm: Option<bool>,
    kvm_capability: Option<Globs>,
    /// The least.
    host_memory: Option<Amount>,
    delegate: Option<Globs>,

    /// Conditions that must not all hold.
    not: Option<Box<When>>,
}

impl When {
    /// Whether the conditions hold.
    pub fn holds(&self, facts: &Facts) -> bool {
        self.holds_but_for_media(facts)
            && self
                .media
                .as_ref()
                .is_none_or(|media| media.holds(&facts.media))
            && self.not.as_ref().is_none_or(|not| !not.holds(facts))
    }

    /// Whether the conditions may hold, whatever the image turns out to be.
    pub fn may_hold(&self, facts: &Facts) -> bool {
        let refuted = |not: &When| !not.mentions(Self::asks_media) && not.holds(facts);
        self.holds_but_for_media(facts) && !self.not.as_deref().is_some_and(refuted)
    }

    fn holds_but_for_media(&self, facts: &Facts) -> bool {
        self.container_holds(facts)
            && self.annotations_hold(facts)
            && self.kernel_holds(facts)
            && self.host_holds(facts)
    }

    /// Whether there is no condition at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this or what it negates has a condition that `has` finds.
    pub fn mentions(&self, has: fn(&Self) -> bool) -> bool {
        has(self) || self.not.as_ref().is_some_and(|not| not.mentions(has))
    }

    pub fn asks_host(&self) -> bool {
        let Self {
            kvm,
            kvm_capability,
            host_memory,
            delegate,
            ..
        } = self;
        kvm.is_some() || kvm_capability.is_some() || host_memory.is_some() || delegate.is_some()
    }

    pub fn asks_digest(&self) -> bool {
        self.digest.is_some()
    }

    pub fn asks_annotations(&self) -> bool {
        self.annotations.is_some()
    }

    pub fn asks_media(&self) -> bool {
        self.media.is_some()
    }

    fn container_holds(&self, facts: &Facts) -> bool {
        let container = &facts.container;
        let is_kind = |kinds: &OneOf<Kind>| kinds.has(&container.kind);
        self.kind.as_ref().is_none_or(is_kind)
            && fits(&self.namespace, container.namespace.as_deref())
            && fits(&self.pod, container.pod.as_deref())
            && fits(&self.container, container.name.as_deref())
            && fits(&self.image, container.image.as_deref())
    }

    fn annotations_hold(&self, facts: &Facts) -> bool {
        let mode = facts.mode.as_ref().map(|mode| mode.value);
        one_of(&self.mode, mode.as_ref())
            && is(&self.contradiction, Some(facts.contradict()))
            && is(&self.evidence, Some(facts.has_evidence()))
            && all_fit(&self.annotations, &facts.annotations)
    }

    fn kernel_holds(&self, facts: &Facts) -> bool {
        let kernel = facts.kernel.as_ref();
        let path = kernel.and_then(|kernel| kernel.path.to_str());
        let family = facts.guest_config.family.as_ref();
        let (abi, architecture, digest) = match kernel.map(|kernel| &kernel.state) {
            Some(State::Bootable {
                abi,
                architecture,
                digest,
                ..
            }) => (
                Some(abi.to_string()),
                Some(*architecture),
                digest.as_deref(),
            ),
            _ => (None, None, None),
        };
        one_of(
            &self.kernel,
            kernel.map(|kernel| kernel.origin.kind()).as_ref(),
        ) && fits(&self.kernel_path, path)
            && fits(&self.abi, abi.as_deref())
            && fits(&self.architecture, architecture)
            && fits(&self.family, family.map(|setting| setting.value.as_str()))
            && fits(&self.digest, digest)
    }

    fn host_holds(&self, facts: &Facts) -> bool {
        let host = facts.host.as_ref();
        let capabilities = host.map_or(&[][..], |host| &host.kvm_capabilities);
        let delegate = host.and_then(|host| host.delegate.as_deref()?.to_str());
        let least = |Amount(least): &Amount| host.is_some_and(|host| host.memory >= *least);
        is(&self.kvm, host.map(|host| host.kvm))
            && any_fits(&self.kvm_capability, capabilities)
            && self.host_memory.as_ref().is_none_or(least)
            && fits(&self.delegate, delegate)
    }
}

/// Bytes, written as Kubernetes writes them.
#[derive(Debug, PartialEq, Deserialize)]
struct Amount(#[serde(deserialize_with = "quantity::deserialize")] u64);
