//! Guests of no family with a way of its own: the arguments, with blanks between them.

use crate::family::Family;
use crate::family_traits::FamilyTraits;

pub(crate) static TRAITS: FamilyTraits = FamilyTraits::new(
    Family::Other,
    &["other", "mewz", "includeos", "toro", "hermitux"],
    |_, params| Ok(joined(params.args)),
);

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
