//! What the program says: results on stdout; an error as one line on stderr and one
//! in the caller's log.
//!
//! Source: runc's callers. containerd and podman read the `--log` file (podman
//! parses the whole of it as one object), conmon reads stderr once.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::Globals;

/// The most of an error that is printed, in bytes: a caller's pipe is read
/// once and holds 64 KiB.
const MAX: usize = 4096;

/// This moment as RFC 3339 writes it.
pub fn now() -> String {
    // Only years past 9999 cannot be written so.
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}

/// Prints a line on stdout. Unlike println!, does not panic where nobody reads it:
/// `runu list | head -1` is no fault.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line on stderr, likewise.
pub fn warn(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a line on stderr, unless whoever reads that leaves it full for a second: the end of
/// a guest does not wait for a reader.
pub fn warn_who_reads(line: &str) {
    const MILLISECONDS: u16 = 1000;
    let stderr = std::io::stderr();
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    // A pipe that can be written takes 4 KiB at once (pipe(7)), and the line is shorter.
    if poll(&mut fds, PollTimeout::from(MILLISECONDS)) != Ok(0) {
        warn(line);
    }
}

/// Reports a failed call. Never fails itself: what cannot be written is lost.
pub fn report(globals: &Globals, error: &dyn Error) {
    let message = one_line(&chain(error));
    log(globals, "error", &message);
    warn(&message);
}

/// Says a line for who looks for a fault (`--debug`): in the caller's log, or on stderr.
pub fn debug(globals: &Globals, message: &str) {
    let message = one_line(message);
    match globals.log {
        Some(_) => log(globals, "debug", &message),
        None => warn(&format!("time={:?} level=debug msg={message:?}", now())),
    }
}

/// An error and what caused it; a cause that an error tells itself is not told again.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text += ": ";
            text += &cause_text;
        }
        source = cause.source();
    }
    text
}

/// Appends a line to the file that `--log` names.
fn log(globals: &Globals, level: &str, message: &str) {
    let Some(path) = &globals.log else { return };
    let now = now();
    let line = if globals.log_json {
        json!({ "level": level, "msg": message, "time": now }).to_string()
    } else {
        format!("time={now:?} level={level} msg={message:?}")
    };
    let file = File::options()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(path);
    let _ = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
}

/// Makes one line of a text, with control characters escaped, and cuts it at 4096 bytes.
pub fn one_line(text: &str) -> String {
    let words = text
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let mut line = String::new();
    for c in words.collect::<Vec<_>>().join("; ").chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    if line.len() > MAX {
        let end = (0..=MAX).rev().find(|&at| line.is_char_boundary(at));
        line.truncate(end.unwrap_or(0));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_of_bounded_length() {
        assert_eq!(one_line("a\n  b\r\n\nc\n"), "a; b; c");
        assert_eq!(one_line("a\tb\u{1b}[2J"), "a\\tb\\u{1b}[2J");
        let long = one_line(&"é".repeat(5000));
        assert!(long.len() <= MAX + '…'.len_utf8() && long.ends_with('…'));
    }
}
