//! The families of unikernels.

use serde::{Deserialize, Serialize};

/// A kind of unikernel, by how its guests read their command line. Its names are in
/// [`FamilyTraits::names`](crate::FamilyTraits::names), its entry is [`Family::traits`].
///
/// Sources of the names: urunc, docs, "Packaging", `unikernelType`; the projects' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// hermit-os/kernel.
    Hermit,
    /// Linux with a program of the image's as init.
    Linux,
    /// nanovms/nanos.
    Nanos,
    /// cloudius-systems/osv.
    Osv,
    /// A program on NetBSD's drivers, by Solo5's interface or by virtio's.
    Rumprun,
    /// MirageOS and others on Solo5's own interface.
    Solo5,
    /// unikraft/unikraft, 0.13 and newer.
    Unikraft,
    /// A known one whose guests read their command line as they like.
    Other,
}
