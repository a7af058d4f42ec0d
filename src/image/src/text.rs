//! Texts from outside, made fit for one line.

/// The beginning of a text, at most 160 characters without control characters: an error is one
/// line, not a page.
pub(crate) fn cut(text: &str) -> String {
    const MAX: usize = 160;
    let mut letters = text.chars().filter(|c| !c.is_control());
    let mut short: String = letters.by_ref().take(MAX).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}
