//! The families' names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of unikernel, by how its guests read their command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Hermit,
    Linux,
    Nanos,
    Osv,
    Rumprun,
    /// MirageOS and others on Solo5's own interface.
    Solo5,
    Unikraft,
    /// A known one whose guests read their command line as they like.
    Other,
}

/// Every name that is understood; the first of a family is the one it is shown by.
///
/// Sources: urunc, docs, "Packaging", `unikernelType`; the projects' own names.
const NAMES: [(&str, Family); 14] = [
    ("hermit", Family::Hermit),
    ("linux", Family::Linux),
    ("nanos", Family::Nanos),
    ("osv", Family::Osv),
    ("rumprun", Family::Rumprun),
    ("solo5", Family::Solo5),
    ("mirage", Family::Solo5),
    ("mirageos", Family::Solo5),
    ("unikraft", Family::Unikraft),
    ("other", Family::Other),
    ("mewz", Family::Other),
    ("includeos", Family::Other),
    ("toro", Family::Other),
    ("hermitux", Family::Other),
];

impl Family {
    /// The names that [`Family::named`] understands, for an error's line.
    pub const NAMED: &str = "hermit, linux, mirage, nanos, osv, rumprun, solo5, unikraft, or other \
                             for a guest that takes its arguments as they are";

    /// The family of that name. Not of any: a misspelt one would tell its guest nothing that
    /// it understands.
    pub fn named(name: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, family)| *family)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, family)| family == self);
        f.write_str(name.map_or("other", |(name, _)| name))
    }
}
