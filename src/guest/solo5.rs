//! MirageOS and others on Solo5: the arguments, the first one too, and nothing else.
//!
//! Source: Solo5 0.12, include/hvt_abi.h; MirageOS, the package parse-argv.

use super::words::{double_quoted, line};
use super::{Error, Family, Told};

/// `HVT_CMDLINE_SIZE` less the zero byte.
const MOST_BYTES: usize = 8191;

pub fn command_line(told: &Told) -> Result<String, Error> {
    let quoted = |arg: &String| match arg {
        arg if arg.is_empty() => Err(Error::argument(arg, "is empty, which MirageOS drops")),
        arg if arg.contains([' ', '"', '\\']) => Ok(double_quoted(arg)),
        arg => Ok(arg.clone()),
    };
    let words: Vec<_> = told.args.iter().map(quoted).collect::<Result<_, _>>()?;
    line(Family::Solo5, &words, MOST_BYTES)
}
