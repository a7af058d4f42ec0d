//! What a guest wants to be told, and how: one file for each family of unikernels.
//!
//! A family knows how its guests read their command line: what splits it, what quotes, and
//! where arguments and environment go. What a guest has no place for is left out (docs/guests.md,
//! "Families"); what it would cut or read as something else is an [`Error`].
//!
//! | module | what it knows |
//! |---|---|
//! | [`family`] | the families' names |
//! | [`kernel_traits`] | how a kernel file shows its family |
//! | [`template`] | what a command line is made of, kept until the network is known |
//! | [`network`], [`root`] | what a guest is told of its network and its root |
//! | [`hermit`], [`linux`], [`nanos`], [`osv`], [`rumprun`], [`solo5`], [`unikraft`] | one family each |
//! | [`words`] | words of a line, and limits |

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

mod error;
mod family;
mod hermit;
mod kernel_traits;
mod libinfo;
mod linux;
mod nanos;
mod network;
mod osv;
mod root;
mod rumprun;
mod solo5;
mod template;
mod unikraft;
mod words;

pub use error::Error;
pub use family::Family;
pub use kernel_traits::KernelTraits;
pub use network::{Address, Network, Route};
pub use root::{HERMIT_TAG, Root, TAG};
pub use template::CmdlineTemplate;

/// What a guest is to be told: the container's configuration, and what the machine has for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct BootParams<'a> {
    /// `process.args`; the first is the program.
    pub args: &'a [String],
    /// `process.env`, each `NAME=VALUE`.
    pub env: &'a [String],
    pub hostname: Option<&'a str>,
    /// `process.cwd`.
    pub cwd: Option<&'a str>,
    /// Whether the guest gets an initrd.
    pub initrd: bool,
    /// Where its root file system is.
    pub root: Root,
    /// Whether that is a disk to which nothing can be written.
    pub read_only: bool,
    /// The network; `None` where there is none, or where it is not known yet.
    pub network: Option<&'a Network>,
    /// One word for each virtio device that is found by the command line, as Linux has them:
    /// `virtio_mmio.device=SIZE@ADDRESS:IRQ`.
    pub devices: &'a [String],
}

impl<'a> BootParams<'a> {
    /// The environment as names and values.
    fn variables(&self) -> Result<Vec<(&'a str, &'a str)>, Error> {
        let split = |entry: &'a String| {
            let pair = entry.split_once('=').filter(|(name, _)| !name.is_empty());
            pair.ok_or_else(|| Error::variable(entry, "is no NAME=VALUE"))
        };
        self.env.iter().map(split).collect()
    }

    /// The working directory, where it is not the root, which is every guest's own.
    fn dir(&self) -> Option<&'a str> {
        self.cwd.filter(|cwd| !matches!(*cwd, "" | "/"))
    }
}

/// The command line by which a guest of `family` learns what its container was told; `traits` is
/// what its kernel file shows.
///
/// # Errors
/// What the family's guests cannot be told, or not so much of it.
pub fn command_line(
    family: Family,
    traits: Option<&KernelTraits>,
    params: &BootParams,
) -> Result<String, Error> {
    match family {
        Family::Hermit => hermit::command_line(params),
        Family::Linux => linux::command_line(params),
        Family::Nanos => nanos::command_line(params),
        Family::Osv => osv::command_line(params),
        Family::Rumprun => rumprun::command_line(traits, params),
        Family::Solo5 => solo5::command_line(traits, params),
        Family::Unikraft => unikraft::command_line(traits, params),
        Family::Other => Ok(joined(params.args)),
    }
}

/// The command line of a guest of no known family: the arguments, with blanks between them.
///
/// An argument that holds white space or is empty is put in double quotes, as
/// the kernels that split their own command line expect.
pub fn joined(args: &[String]) -> String {
    let quoted = |arg: &String| match arg.is_empty() || arg.contains(char::is_whitespace) {
        true => format!("\"{arg}\""),
        false => arg.clone(),
    };
    args.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
