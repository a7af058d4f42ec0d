//! Several manifests in one index: which of them this host runs best.
//!
//! A manifest is out if it is for another CPU or system. Of the others the best
//! is, in this order: one that can run here (a unikernel needs KVM); a unikernel
//! rather than a container; one for this very architecture; for the higher level
//! of it, then for more CPU features; for a monitor more like runu's; the one
//! that the index names first. An image of one manifest leaves no choice.

use serde::{Deserialize, Serialize};

use super::document::{Descriptor, Manifest, Platform};
use super::error::cut;
use super::host::{Host, go_name};
use super::walk::{self, Documents};
use super::{ImageError, sign};

/// A manifest of an index, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub digest: String,
    /// `os/architecture[/variant]`, where the image says.
    pub platform: Option<String>,
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// Whether a manifest was chosen, and else why not: one short sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    #[error("chosen")]
    Chosen,
    #[error("{media_type:?} is no type of a manifest")]
    UnknownType { media_type: String },
    #[error("it is for another system than Linux or a monitor that boots here")]
    System,
    #[error("it is for another CPU than this host's {host}")]
    Architecture { host: String },
    #[error("this host's CPU has no {}", missing.join(", "))]
    CpuFeatures { missing: Vec<String> },
    #[error("a unikernel needs KVM, and this host has none")]
    NoKvm,
    #[error("it is a container, and this host can run the image's unikernel")]
    Container,
    #[error("the chosen one makes more of this host's CPU")]
    LessOfTheCpu,
    #[error("the chosen one is for a monitor that is more like this one")]
    Monitor,
    #[error("containerd unpacks the first one for linux/{host}")]
    NotUnpacked { host: String },
    #[error("the chosen one is as good and stands before it")]
    Later,
}

/// The manifest that was chosen.
pub(crate) struct Chosen {
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
    /// Why `self` lost against `best`.
    fn lost_to(&self, best: &Self) -> Verdict {
        if self.runs != best.runs {
            Verdict::NoKvm
        } else if self.unikernel != best.unikernel {
            Verdict::Container
        } else if (self.native, self.level, self.features)
            != (best.native, best.level, best.features)
        {
            Verdict::LessOfTheCpu
        } else if self.monitor != best.monitor {
            Verdict::Monitor
        } else {
            Verdict::Later
        }
    }
}

/// A manifest while it is looked at.
struct Entry {
    descriptor: Descriptor,
    platform: Option<Platform>,
    /// Where it had to be read.
    manifest: Option<Manifest>,
    standing: Result<Rank, Verdict>,
}

/// Chooses one of `manifests` for this host.
///
/// # Errors
/// [`ImageError::NoneFits`] with all verdicts; and where a manifest that might
/// have been chosen cannot be read.
pub(crate) fn best(
    manifests: Vec<Descriptor>,
    host: &Host,
    documents: &mut Documents,
) -> Result<(Chosen, Vec<Candidate>), ImageError> {
    if manifests.is_empty() {
        return Err(ImageError::Empty);
    }
    let no_choice = manifests.len() == 1;
    let look = |descriptor| Entry::look(descriptor, no_choice, host, documents);
    let entries: Vec<Entry> = manifests.into_iter().map(look).collect::<Result<_, _>>()?;
    pick(entries, documents)
}

/// Tells which of `manifests` containerd has unpacked: the first for Linux on this
/// CPU without a variant, of those that the index describes and then of the others
/// (containerd, `images.Manifest` with `platforms.Default`). Where none is, someone
/// asked for another platform: then the [`best`].
///
/// # Errors
/// As for [`best`].
pub(crate) fn unpacked(
    manifests: Vec<Descriptor>,
    host: &Host,
    documents: &mut Documents,
) -> Result<(Chosen, Vec<Candidate>), ImageError> {
    let is_default = |platform: &Platform| {
        platform.os == "linux"
            && go_name(&platform.architecture) == host.architecture
            && matches!(platform.variant.as_deref(), None | Some("" | "v1" | "v8"))
    };
    let described = |d: &Descriptor| d.platform.as_ref().is_some_and(is_default);
    let mut place = manifests.iter().position(described);
    for (at, manifest) in manifests.iter().enumerate() {
        let silent = manifest.platform.is_none() && walk::is_manifest(&manifest.media_type);
        if place.is_none() && silent {
            let manifest = documents.manifest(manifest)?;
            let config = documents.config(&manifest)?;
            let platform = config.and_then(|config| config.platform());
            place = platform.as_ref().filter(|p| is_default(p)).map(|_| at);
        }
    }
    let Some(place) = place else {
        return best(manifests, host, documents);
    };
    let entry = |(at, descriptor): (usize, Descriptor)| Entry {
        platform: descriptor.platform.clone(),
        descriptor,
        manifest: None,
        standing: match at == place {
            true => Ok(Rank::default()),
            false => Err(Verdict::NotUnpacked {
                host: host.architecture.clone(),
            }),
        },
    };
    pick(
        manifests.into_iter().enumerate().map(entry).collect(),
        documents,
    )
}

/// Takes the best, and tells the others why not they.
fn pick(
    mut entries: Vec<Entry>,
    documents: &mut Documents,
) -> Result<(Chosen, Vec<Candidate>), ImageError> {
    let mut best: Option<(usize, Rank)> = None;
    for (place, entry) in entries.iter().enumerate() {
        if let Ok(rank) = entry.standing
            && best.is_none_or(|(_, so_far)| rank > so_far)
        {
            best = Some((place, rank));
        }
    }
    let candidates = entries.iter().enumerate().map(|(place, entry)| Candidate {
        digest: cut(&entry.descriptor.digest),
        platform: entry.platform.as_ref().map(Platform::to_string),
        verdict: match (&entry.standing, best) {
            (_, Some((chosen, _))) if chosen == place => Verdict::Chosen,
            (Ok(rank), Some((_, best))) => rank.lost_to(&best),
            (Ok(_), None) => Verdict::Later,
            (Err(verdict), _) => verdict.clone(),
        },
    });
    let candidates: Vec<_> = candidates.collect();
    let Some((place, _)) = best else {
        return Err(ImageError::NoneFits(candidates));
    };
    let Entry {
        descriptor,
        platform,
        manifest,
        ..
    } = entries.swap_remove(place);
    let manifest = match manifest {
        Some(manifest) => manifest,
        None => documents.manifest(&descriptor)?,
    };
    let chosen = Chosen {
        descriptor,
        manifest,
        platform,
    };
    Ok((chosen, candidates))
}

impl Entry {
    /// Reads as much of a manifest as a judgement needs: not more than the index's
    /// words, where these rule it out.
    fn look(
        descriptor: Descriptor,
        no_choice: bool,
        host: &Host,
        documents: &mut Documents,
    ) -> Result<Self, ImageError> {
        let mut entry = Self {
            platform: descriptor.platform.clone(),
            descriptor,
            manifest: None,
            standing: Ok(Rank::default()),
        };
        if !walk::is_manifest(&entry.descriptor.media_type) {
            entry.standing = Err(Verdict::UnknownType {
                media_type: cut(&entry.descriptor.media_type),
            });
        } else if !no_choice {
            entry.standing = entry.judge(host, documents)?;
        }
        Ok(entry)
    }

    fn judge(
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
            Some(platform) => match fit(platform, host) {
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
        let kind = walk::artifact_type(&self.descriptor, &manifest)?;
        let platform = self.platform.as_ref();
        rank.unikernel =
            sign::of_manifest(platform, kind.as_deref(), &self.descriptor, &manifest).is_some();
        rank.runs = host.kvm || !rank.unikernel;
        self.manifest = Some(manifest);
        Ok(Ok(rank))
    }
}

/// Whether a platform is this host's, and how well it fits.
fn fit(platform: &Platform, host: &Host) -> Result<Rank, Verdict> {
    let monitor = match platform.os.as_str() {
        "linux" => 0,
        "kvm" | "qemu" => 1,
        // Its images look for few devices, and for those by their plain addresses.
        "fc" | "firecracker" => 2,
        _ => return Err(Verdict::System),
    };
    let foreign = || Verdict::Architecture {
        host: host.architecture.clone(),
    };
    let architecture = go_name(&platform.architecture);
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
