//! Texts from outside, as errors and people are shown them: one line, not a page, with what
//! a terminal would act on spelt out.

use std::path::Path;

/// The beginning of a key or a value.
pub(crate) fn escape_short(text: &str) -> String {
    beginning(text, 64)
}

/// The beginning of what is longer than a key: a path, an error of another's.
pub(crate) fn escape_line(text: &str) -> String {
    beginning(text, 256)
}

/// A path, likewise.
pub(crate) fn escape_path(path: &Path) -> String {
    escape_line(&path.to_string_lossy())
}

/// The whole text, which may be long.
pub(crate) fn escape(text: &str) -> String {
    beginning(text, usize::MAX)
}

/// At most so many of the text's characters.
fn beginning(text: &str, max: usize) -> String {
    let mut short = String::new();
    for c in text.chars().take(max) {
        match c.is_control() {
            true => short.extend(c.escape_default()),
            false => short.push(c),
        }
    }
    if text.chars().nth(max).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_spelt_out_and_the_rest_is_cut() {
        assert_eq!(escape("a\n\u{1b}[1m\u{9b}é"), "a\\n\\u{1b}[1m\\u{9b}é");
        assert_eq!(escape_short(&"é".repeat(64)), "é".repeat(64));
        assert_eq!(escape_short(&"é".repeat(65)), "é".repeat(64) + "…");
        assert!(escape_line(&"\u{1b}".repeat(1 << 18)).len() < 2000);
    }
}
