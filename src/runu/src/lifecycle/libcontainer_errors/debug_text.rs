//! Rust's debug text of an error, read for what people can use of it. libcontainer hands on
//! nothing else.

use nix::errno::Errno;

/// The highest number that Linux gives an error (errno-base.h, errno.h).
const LAST_ERRNO: i32 = 133;

/// The system's error in a text such as `Nix(EINVAL)` or `Os { code: 22, … }`, as the system
/// words it.
pub(super) fn system_error(text: &str) -> Option<String> {
    let by_name =
        |word: &str| (1..=LAST_ERRNO).find(|&n| format!("{:?}", Errno::from_raw(n)) == word);
    let of_code = text.split("code: ").nth(1).and_then(number);
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let code = of_code.or_else(|| words.find_map(by_name))?;
    Some(worded(code))
}

/// The same of a text that is the bare number of an error.
pub(super) fn error_number(text: &str) -> Option<String> {
    let code = text.parse().ok()?;
    (1..=LAST_ERRNO).contains(&code).then(|| worded(code))
}

fn worded(code: i32) -> String {
    let errno = Errno::from_raw(code);
    format!("{} ({errno:?})", errno.desc())
}

/// The number that a text begins with.
fn number(text: &str) -> Option<i32> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().ok()
}

/// The value of a field in a text such as `Write { path: "/x", data: "5" }`, without the quotes
/// and the `Some` that may be around it.
pub(super) fn field(text: &str, name: &str) -> Option<String> {
    let value = text.split(&format!("{name}: ")).nth(1)?;
    let value = value.strip_prefix("Some(").unwrap_or(value);
    match value.strip_prefix('"') {
        Some(quoted) => Some(unquoted(quoted)),
        None => {
            let end = value.find([',', ' ', ')', '}']);
            Some(value[..end.unwrap_or(value.len())].to_owned())
        }
    }
}

/// The first quoted part of a text.
pub(super) fn quoted(text: &str) -> Option<String> {
    text.split_once('"').map(|(_, rest)| unquoted(rest))
}

/// What comes before the closing quotation mark, with its escapes undone where they are simple.
fn unquoted(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// Whether a text has the marks of a Rust value, and is not a plain word, number or string.
pub(super) fn is_structure(text: &str) -> bool {
    !text.starts_with('"') && text.contains(['{', '(', '['])
}

/// A message without the Rust values in it: a type's name and all between its braces.
pub(super) fn without_structures(message: &str) -> String {
    let mut text = message.to_owned();
    while let Some(open) = text.find(" { ") {
        let start = text[..open].rfind(' ').map_or(0, |at| at + 1);
        let end = closing(&text[open..]).map_or(text.len(), |at| open + at + 1);
        text.replace_range(start..end, "");
    }
    text.replace(" :", ":")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Where the first brace of a text is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => return None,
        }
        (depth == 0).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_can_use_is_found() {
        let write = r#"V1(WrappedIo(Write { err: Os { code: 22, kind: InvalidInput, message: "Invalid argument" }, path: "/c/pids.max", data: "1\"2" }))"#;
        let invalid = Some("Invalid argument (EINVAL)".to_owned());
        assert_eq!(system_error(write), invalid);
        assert_eq!(system_error("Mount(Syscall(Nix(EINVAL)))"), invalid);
        assert_eq!(system_error("failed to mount"), None);
        assert_eq!(error_number("22"), invalid);
        assert_eq!(error_number("0"), None);
        assert_eq!(field(write, "path").unwrap(), "/c/pids.max");
        assert_eq!(field(write, "data").unwrap(), "1\"2");
        assert_eq!(field("X { typ: Some(\"a\"), n: 5 }", "typ").unwrap(), "a");
        assert_eq!(field("X { typ: User, n: 5 }", "typ").unwrap(), "User");
        assert_eq!(field("X { n: 5 }", "n").unwrap(), "5");
        assert_eq!(quoted("Device(Bad(\"x\"))").unwrap(), "x");
        assert!(is_structure("Nix(EINVAL)") && !is_structure("\"a (b)\""));
        assert_eq!(
            without_structures("failed to mount Mount { a: X { b: 1 }, c: None }: syscall"),
            "failed to mount: syscall"
        );
        assert_eq!(without_structures("cut Mount { a: 1"), "cut");
    }
}
