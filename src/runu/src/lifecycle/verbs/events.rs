//! `events`: what a unikernel uses, and that the kernel has killed it for want of
//! memory.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use crate::cli::Events;
use crate::lifecycle::cgroup::paths::CgroupPaths;
use crate::lifecycle::cgroup::stats::{self, OomCounter};
use crate::lifecycle::error::Error;
use crate::lifecycle::process::Process;
use crate::lifecycle::unikernel::Unikernel;
use crate::lifecycle::verbs::error::IntervalError;

/// Prints what the monitor's cgroup counts: once (`--stats`), or every interval until
/// the monitor has ended, with an event of the type `oom` for each kill.
///
/// There is no process but the monitor, so that a kill is seen by its end.
///
/// # Errors
/// When it does not run, the interval is none, or nobody reads the events.
pub(in crate::lifecycle) fn events(unikernel: &Unikernel, args: &Events) -> Result<(), Error> {
    let id = unikernel.id();
    let process = unikernel
        .process()
        .ok_or_else(|| Error::NotRunning { id: id.to_owned() })?;
    let interval = interval(&args.interval).map_err(|e| Error::verb("watch", id, e))?;
    let result = CgroupPaths::of(process).and_then(|paths| match args.stats {
        true => print(id, "stats", Some(stats::read(&paths))),
        false => watch(id, process, &paths, interval),
    });
    result.map_err(|e| Error::verb("watch", id, e))
}

/// `paths` is that of the beginning: a zombie's is the host's own.
fn watch(id: &str, process: Process, paths: &CgroupPaths, interval: Duration) -> io::Result<()> {
    let counter = OomCounter::of(paths);
    let end = process.end_descriptor()?;
    let mut seen = counter.kills();
    let mut next = Instant::now() + interval;
    loop {
        // Rounded up: to wake before the time is to wake twice.
        let wait = next.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let wait = PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX);
        let ended = poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], wait)? > 0;
        let kills = counter.kills().max(seen);
        for _ in seen..kills {
            print(id, "oom", None)?;
        }
        seen = kills;
        if ended {
            return Ok(());
        }
        if Instant::now() >= next {
            next += interval;
            print(id, "stats", Some(stats::read(paths)))?;
        }
    }
}

/// One line of JSON (runc, types/events.go). Fails where nobody reads it, so that an
/// `events` ends with who called it.
fn print(id: &str, kind: &str, data: Option<Value>) -> io::Result<()> {
    let mut event = json!({ "type": kind, "id": id });
    if let Some(data) = data {
        event["data"] = data;
    }
    writeln!(io::stdout(), "{event}")
}

/// A length of time as Go writes it: `5s`, `1m30s`, `1.5h` (package time,
/// `ParseDuration`).
fn interval(text: &str) -> Result<Duration, IntervalError> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let malformed = || IntervalError::Malformed {
        text: text.to_owned(),
    };
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        let (number, tail) = rest.split_at(rest.find(|c| !is_digit(c)).ok_or_else(malformed)?);
        let (unit, tail) = tail.split_at(tail.find(is_digit).unwrap_or(tail.len()));
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let number: f64 = number.parse().map_err(|_| malformed())?;
        seconds += number * unit.ok_or_else(malformed)?.1;
        rest = tail;
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(Duration::ZERO) => Err(IntervalError::Zero),
        result => result.map_err(|_| malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_written_as_in_go() {
        for (text, milliseconds) in [
            ("5s", 5000),
            ("250ms", 250),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
        ] {
            assert_eq!(
                interval(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in [
            "",
            "0s",
            "5",
            "s",
            "-5s",
            "1x",
            "5s5",
            "99999999999999999999h",
        ] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
