//! The list of families: who adds one writes its file, names it in [`Family`] and adds its entry
//! here.

use std::fmt;
use std::fs::File;

use crate::boot_params::BootParams;
use crate::error::Error;
use crate::family::Family;
use crate::family_traits::FamilyTraits;
use crate::kernel_traits::KernelTraits;
use crate::sections::Sections;
use crate::{hermit, linux, nanos, osv, other, rumprun, solo5, unikraft};

/// Every family's entry.
static ALL: [&FamilyTraits; 8] = [
    &hermit::TRAITS,
    &linux::TRAITS,
    &nanos::TRAITS,
    &osv::TRAITS,
    &rumprun::TRAITS,
    &solo5::TRAITS,
    &unikraft::TRAITS,
    &other::TRAITS,
];

impl Family {
    /// The names that [`Family::named`] understands, for an error's line.
    pub const NAMED: &str = "hermit, linux, mirage, nanos, osv, rumprun, solo5, unikraft, or other \
                             for a guest that takes its arguments as they are";

    /// The family of that name. Not of any: a misspelt one would tell its guest nothing that
    /// it understands.
    pub fn named(name: &str) -> Option<Self> {
        let entry = ALL.iter().find(|entry| entry.names.contains(&name));
        entry.map(|entry| entry.family)
    }

    /// What its guests can do.
    pub fn traits(self) -> &'static FamilyTraits {
        let entry = ALL.iter().find(|entry| entry.family == self);
        entry.copied().unwrap_or(&other::TRAITS)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.traits().names.first().unwrap_or(&"other"))
    }
}

impl KernelTraits {
    /// Looks at a kernel file's sections. `None` where they are no family's, or there are no ELF
    /// headers that make sense: a kernel can do without a family.
    pub fn of(file: &File) -> Option<Self> {
        let sections = Sections::of(file)?;
        ALL.iter().find_map(|entry| (entry.recognize)(&sections))
    }
}

/// The command line by which a guest of `family` gets its container's arguments and environment,
/// and what the machine has for it; `traits` is what its kernel file shows.
///
/// # Errors
/// What the family's guests cannot take, or not so much of it.
pub fn command_line(
    family: Family,
    traits: Option<&KernelTraits>,
    params: &BootParams,
) -> Result<String, Error> {
    (family.traits().command_line)(traits, params)
}
