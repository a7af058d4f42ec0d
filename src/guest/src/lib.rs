//! How a guest of each family gets its container's arguments, environment, network and root.
//!
//! A family is one file, with its entry in the table of [`FamilyTraits`] and the way its guests
//! read their command line: what splits it, what quotes, and where arguments and environment go.
//! What a guest has no place for is left out (docs/guests.md, "Families"); what it would cut or
//! read as something else is an [`Error`].
//!
//! | module | what it knows |
//! |---|---|
//! | `family`, `families` | the families, and the list of their entries |
//! | `family_traits` | what an entry says: roots, virtio, vsock, command line |
//! | `hermit`, `linux`, `nanos`, `osv`, `rumprun`, `solo5`, `unikraft`, `other` | one family each |
//! | `kernel_traits`, `sections`, `libinfo` | what a kernel file shows of its guest |
//! | `boot_params`, `network`, `address`, `root` | what a command line is made of |
//! | `template` | the same, kept until the network is known |
//! | `cmdline` | words of a line, and limits |

#![warn(missing_docs)]
// A test knows its numbers.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::too_many_lines
    )
)]

mod address;
mod boot_params;
mod cmdline;
mod error;
mod families;
mod family;
mod family_traits;
mod hermit;
mod kernel_traits;
mod libinfo;
mod linux;
mod nanos;
mod network;
mod osv;
mod other;
mod root;
mod rumprun;
mod sections;
mod solo5;
mod template;
mod unikraft;

pub use address::Address;
pub use boot_params::BootParams;
pub use error::Error;
pub use families::command_line;
pub use family::Family;
pub use family_traits::{FamilyTraits, Support, VirtioBus};
pub use kernel_traits::KernelTraits;
pub use network::{Network, Route};
pub use other::joined;
pub use root::{Root, TAG};
pub use template::CmdlineTemplate;

#[cfg(test)]
mod tests;
