//! MirageOS and others on Solo5: the arguments, the first one too, and nothing else; after
//! a name where Solo5's target is virtio, which drops the first word. The network's come first.
//!
//! Source: Solo5 0.12, include/hvt_abi.h, bindings/virtio; MirageOS, the packages parse-argv and
//! mirage-runtime-network.

use crate::boot_params::BootParams;
use crate::cmdline::{double_quoted, line};
use crate::error::Error;
use crate::family::Family;
use crate::family_traits::{FamilyTraits, Support};
use crate::kernel_traits::KernelTraits;
use crate::sections::Sections;

/// `HVT_CMDLINE_SIZE` less the zero byte.
const MAX_BYTES: usize = 8191;

pub(crate) static TRAITS: FamilyTraits = FamilyTraits {
    p9: |_| Support::No,
    virtiofs: |_| Support::No,
    block_root: Support::No,
    mounts_nothing: true,
    has_vsock: false,
    drops_kernel_name: true,
    recognize,
    ..FamilyTraits::new(
        Family::Solo5,
        &["solo5", "mirage", "mirageos"],
        command_line,
    )
};

/// The note with the interface's version.
fn recognize(sections: &Sections) -> Option<KernelTraits> {
    let is_solo5 = sections.has(".note.solo5.abi");
    is_solo5.then(|| KernelTraits::new(Family::Solo5))
}

fn command_line(traits: Option<&KernelTraits>, params: &BootParams) -> Result<String, Error> {
    let quoted = |arg: &String| match arg {
        arg if arg.is_empty() => Err(Error::argument(arg, "is empty, which MirageOS drops")),
        arg if arg.contains([' ', '"', '\\']) => Ok(double_quoted(arg)),
        arg => Ok(arg.clone()),
    };
    let name = traits
        .filter(|traits| traits.drops_a_word)
        .map(|_| Ok("solo5".to_owned()));
    let network = network(params)?.into_iter().map(Ok);
    let args = params.args.iter().map(quoted);
    let words: Vec<_> = name
        .into_iter()
        .chain(network)
        .chain(args)
        .collect::<Result<_, _>>()?;
    line(Family::Solo5, &words, MAX_BYTES)
}

/// MirageOS's own options: one address of each version. Who writes one of them among the
/// arguments knows better.
fn network(params: &BootParams) -> Result<Vec<String>, Error> {
    let Some(network) = params.network else {
        return Ok(Vec::new());
    };
    match network.ipv4(Family::Solo5) {
        Ok(_) | Err(Error::Ipv6Only { .. }) => {}
        Err(error) => return Err(error),
    }
    let is_set = |option: &str| {
        let is = |arg: &String| arg.split('=').next() == Some(option);
        params.args.iter().any(is)
    };
    let options = [
        ("--ipv4", network.ipv4.first().map(ToString::to_string)),
        ("--ipv4-gateway", network.gateway4.map(|ip| ip.to_string())),
        ("--ipv6", network.ipv6.first().map(ToString::to_string)),
        ("--ipv6-gateway", network.gateway6.map(|ip| ip.to_string())),
    ];
    let options = options.into_iter().filter(|(option, _)| !is_set(option));
    let words = options.filter_map(|(option, value)| Some(format!("{option}={}", value?)));
    Ok(words.collect())
}
