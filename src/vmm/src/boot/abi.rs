//! The boot ABIs by name. What each of them is like, its implementation says
//! ([`protocols`](super::protocols)).

use std::fmt;

/// The way in which a kernel wants to be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootAbi {
    /// Linux's 64-bit entry, of an ELF vmlinux (Documentation/arch/x86/boot.rst).
    Linux64,
    /// The same entry of a compressed kernel, as distributions ship it (likewise).
    BzImage,
    /// Xen's PVH entry, by an ELF note (xen/include/public/arch-x86/hvm/start_info.h).
    Pvh,
    /// Multiboot 1 (Multiboot specification 0.6.96).
    Multiboot1,
    /// Hermit's entry for its own monitor (hermit-entry, uhyve).
    Hermit,
    /// Solo5's hvt, version 2 (Solo5, include/hvt_abi.h).
    Solo5,
}

impl fmt::Display for BootAbi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // By the names that serde gives them.
        fmt::Display::fmt(
            match self {
                BootAbi::Linux64 => "linux64",
                BootAbi::BzImage => "bzimage",
                BootAbi::Pvh => "pvh",
                BootAbi::Multiboot1 => "multiboot1",
                BootAbi::Hermit => "hermit",
                BootAbi::Solo5 => "solo5",
            },
            f,
        )
    }
}
