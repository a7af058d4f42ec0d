//! MirageOS and others on Solo5: the arguments, the first one too, and nothing else; after
//! a name where Solo5's target is virtio, which drops the first word.
//!
//! Source: Solo5 0.12, include/hvt_abi.h, bindings/virtio; MirageOS, the package parse-argv.

use super::words::{double_quoted, line};
use super::{Error, Family, Mark, Told};

/// `HVT_CMDLINE_SIZE` less the zero byte.
const MOST_BYTES: usize = 8191;

pub fn command_line(mark: Option<&Mark>, told: &Told) -> Result<String, Error> {
    let quoted = |arg: &String| match arg {
        arg if arg.is_empty() => Err(Error::argument(arg, "is empty, which MirageOS drops")),
        arg if arg.contains([' ', '"', '\\']) => Ok(double_quoted(arg)),
        arg => Ok(arg.clone()),
    };
    let name = mark
        .filter(|mark| mark.drops_a_word)
        .map(|_| Ok("solo5".to_owned()));
    let args = told.args.iter().map(quoted);
    let words: Vec<_> = name.into_iter().chain(args).collect::<Result<_, _>>()?;
    line(Family::Solo5, &words, MOST_BYTES)
}
