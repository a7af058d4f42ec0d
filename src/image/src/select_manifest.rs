//! Selects the one of an index's manifests that this host runs best.
//!
//! A manifest is out if it is for another CPU or system. Of the others the best
//! is, in this order: one that can run here (a unikernel needs KVM); a unikernel
//! rather than a container; one for this very architecture; for the higher level
//! of it, then for more CPU features; for a monitor more like runu's; the one
//! that the index names first. An image of one manifest leaves no choice.

use crate::candidate::{Candidate, Verdict};
use crate::document::{Descriptor, Manifest, Platform};
use crate::error::ImageError;
use crate::evidence;
use crate::host::{Host, goarch};
use crate::resolve_index::{self, Documents};
use crate::text::cut;

/// The manifest that was selected.
pub(crate) struct Selected {
    pub descriptor: Descriptor,
    pub manifest: Manifest,
    pub platform: Option<Platform>,
}

/// How good a manifest is here; the fields in the order of their weight.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    runs: bool,
    unikernel: bool,
    native: bool,
    level: u8,
    features: usize,
    monitor: u8,
}

impl Rank {
    /// Why a manifest of this rank is not selected where one of the rank `best` is.
    fn verdict_against(&self, best: &Self) -> Verdict {
        if self.runs != best.runs {
            Verdict::NoKvm
        } else if self.unikernel != best.unikernel {
            Verdict::Container
        } else if (self.native, self.level, self.features)
            != (best.native, best.level, best.features)
        {
            Verdict::LowerCpuLevel
        } else if self.monitor != best.monitor {
            Verdict::OtherMonitor
        } else {
            Verdict::LaterInIndex
        }
    }
}

/// A manifest while it is looked at.
struct Entry {
    descriptor: Descriptor,
    platform: Option<Platform>,
    /// Where it had to be read.
    manifest: Option<Manifest>,
    /// How good it is, or why it is out.
    rank: Result<Rank, Verdict>,
}

/// Selects the best of `manifests` for this host.
///
/// # Errors
/// [`ImageError::NoMatch`] with all verdicts; and where a manifest that might
/// have been chosen cannot be read.
pub(crate) fn select_best(
    manifests: Vec<Descriptor>,
    host: &Host,
    documents: &mut Documents,
) -> Result<(Selected, Vec<Candidate>), ImageError> {
    if manifests.is_empty() {
        return Err(ImageError::NoManifest);
    }
    let is_only_one = manifests.len() == 1;
    let inspect = |descriptor| Entry::inspect(descriptor, is_only_one, host, documents);
    let entries: Vec<Entry> = manifests
        .into_iter()
        .map(inspect)
        .collect::<Result<_, _>>()?;
    select(entries, documents)
}

/// Selects the one of `manifests` that containerd has unpacked: the first for Linux on this
/// CPU without a variant, of those that the index describes and then of the others
/// (containerd, `images.Manifest` with `platforms.Default`). Where none is, someone
/// asked for another platform: then [`select_best`] tells.
///
/// # Errors
/// As for [`select_best`].
#[cfg(feature = "containerd")]
pub(crate) fn select_unpacked(
    manifests: Vec<Descriptor>,
    host: &Host,
    documents: &mut Documents,
) -> Result<(Selected, Vec<Candidate>), ImageError> {
    let is_default = |platform: &Platform| {
        platform.os == "linux"
            && goarch(&platform.architecture) == host.architecture
            && matches!(platform.variant.as_deref(), None | Some("" | "v1" | "v8"))
    };
    let described = |d: &Descriptor| d.platform.as_ref().is_some_and(is_default);
    let mut default = manifests.iter().position(described);
    for (at, manifest) in manifests.iter().enumerate() {
        let is_silent =
            manifest.platform.is_none() && resolve_index::is_manifest(&manifest.media_type);
        if default.is_none() && is_silent {
            let manifest = documents.manifest(manifest)?;
            let config = documents.config(&manifest)?;
            let platform = config.and_then(|config| config.platform());
            default = platform.as_ref().filter(|p| is_default(p)).map(|_| at);
        }
    }
    let Some(default) = default else {
        return select_best(manifests, host, documents);
    };
    let entry = |(at, descriptor): (usize, Descriptor)| Entry {
        platform: descriptor.platform.clone(),
        descriptor,
        manifest: None,
        rank: match at == default {
            true => Ok(Rank::default()),
            false => Err(Verdict::NotUnpacked {
                host: host.architecture.clone(),
            }),
        },
    };
    select(
        manifests.into_iter().enumerate().map(entry).collect(),
        documents,
    )
}

/// Selects the best entry, and tells of the others why not.
fn select(
    mut entries: Vec<Entry>,
    documents: &mut Documents,
) -> Result<(Selected, Vec<Candidate>), ImageError> {
    let mut best: Option<(usize, Rank)> = None;
    for (at, entry) in entries.iter().enumerate() {
        if let Ok(rank) = entry.rank
            && best.is_none_or(|(_, so_far)| rank > so_far)
        {
            best = Some((at, rank));
        }
    }
    let candidates = entries.iter().enumerate().map(|(at, entry)| Candidate {
        digest: cut(&entry.descriptor.digest),
        platform: entry.platform.as_ref().map(Platform::to_string),
        verdict: match (&entry.rank, best) {
            (_, Some((selected, _))) if selected == at => Verdict::Chosen,
            (Ok(rank), Some((_, best))) => rank.verdict_against(&best),
            (Ok(_), None) => Verdict::LaterInIndex,
            (Err(verdict), _) => verdict.clone(),
        },
    });
    let candidates: Vec<_> = candidates.collect();
    let Some((at, _)) = best else {
        return Err(ImageError::NoMatch(candidates));
    };
    let Entry {
        descriptor,
        platform,
        manifest,
        ..
    } = entries.swap_remove(at);
    let manifest = match manifest {
        Some(manifest) => manifest,
        None => documents.manifest(&descriptor)?,
    };
    let selected = Selected {
        descriptor,
        manifest,
        platform,
    };
    Ok((selected, candidates))
}

impl Entry {
    /// Reads as much of a manifest as its rank needs: not more than its descriptor, where
    /// that rules it out.
    fn inspect(
        descriptor: Descriptor,
        is_only_one: bool,
        host: &Host,
        documents: &mut Documents,
    ) -> Result<Self, ImageError> {
        let mut entry = Self {
            platform: descriptor.platform.clone(),
            descriptor,
            manifest: None,
            rank: Ok(Rank::default()),
        };
        if !resolve_index::is_manifest(&entry.descriptor.media_type) {
            entry.rank = Err(Verdict::UnknownMediaType {
                media_type: cut(&entry.descriptor.media_type),
            });
        } else if !is_only_one {
            entry.rank = entry.rank(host, documents)?;
        }
        Ok(entry)
    }

    fn rank(
        &mut self,
        host: &Host,
        documents: &mut Documents,
    ) -> Result<Result<Rank, Verdict>, ImageError> {
        if self.platform.is_none() {
            let manifest = documents.manifest(&self.descriptor)?;
            let config = documents.config(&manifest)?;
            self.platform = config.and_then(|config| config.platform());
            self.manifest = Some(manifest);
        }
        let mut rank = match &self.platform {
            Some(platform) => match rank_platform(platform, host) {
                Ok(rank) => rank,
                Err(verdict) => return Ok(Err(verdict)),
            },
            // Nothing says that it is not for this host; all that say are better.
            None => Rank::default(),
        };
        let manifest = match self.manifest.take() {
            Some(manifest) => manifest,
            None => documents.manifest(&self.descriptor)?,
        };
        let kind = resolve_index::artifact_type(&self.descriptor, &manifest)?;
        let platform = self.platform.as_ref();
        rank.unikernel =
            evidence::of_manifest(platform, kind.as_deref(), &self.descriptor, &manifest).is_some();
        rank.runs = host.kvm || !rank.unikernel;
        self.manifest = Some(manifest);
        Ok(Ok(rank))
    }
}

/// How good a platform is for this host, or why it is not for it.
fn rank_platform(platform: &Platform, host: &Host) -> Result<Rank, Verdict> {
    let monitor = match platform.os.as_str() {
        "linux" => 0,
        "kvm" | "qemu" => 1,
        // Its images look for few devices, and for those by their plain addresses.
        "fc" | "firecracker" => 2,
        _ => return Err(Verdict::OtherOs),
    };
    let foreign = || Verdict::OtherArchitecture {
        host: host.architecture.clone(),
    };
    let architecture = goarch(&platform.architecture);
    // A 64-bit Linux runs the containers of its 32-bit sibling.
    let sibling = monitor == 0
        && matches!(
            (architecture, host.architecture.as_str()),
            ("386", "amd64") | ("arm", "arm64")
        );
    let native = architecture == host.architecture;
    if !native && !sibling {
        return Err(foreign());
    }
    let level = match (native, architecture) {
        (true, "amd64") => host.amd64_level(platform.variant.as_deref()),
        (true, "arm64") => {
            matches!(platform.variant.as_deref(), None | Some("" | "v8")).then_some(1)
        }
        _ => Some(1),
    };
    let missing = host.missing(&platform.features);
    if !missing.is_empty() {
        return Err(Verdict::CpuFeatures {
            missing: missing.into_iter().map(cut).collect(),
        });
    }
    Ok(Rank {
        native,
        level: level.ok_or_else(foreign)?,
        features: platform.features.len(),
        monitor,
        ..Rank::default()
    })
}
