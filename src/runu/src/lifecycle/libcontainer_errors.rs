//! What libcontainer says when it fails.
//!
//! Its processes hand each other an error's outermost text only ("failed to
//! prepare rootfs"); the cause goes to its log, as a tracing event. Here such an
//! event is written to the pipe that `create` reads, and once the machine is made,
//! to the container's stderr.

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FcntlArg, OFlag};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::exit::chain;

/// The most that is kept of a fault, in bytes.
const MAX: usize = 4096;

/// How libcontainer 0.7 begins to tell an error that it has told before, as each of
/// its processes ends.
const OUTER: [&str; 3] = [
    "failed to initialize container process",
    "failed to run intermediate process",
    "failed to run container process",
];

/// The end that is written to: the monitor's, and that of libcontainer's events.
#[derive(Debug)]
pub(in crate::lifecycle) struct ErrorPipe(Mutex<Option<PipeWriter>>);

impl ErrorPipe {
    /// A pipe for faults. Neither end ever waits.
    ///
    /// # Errors
    /// Those of pipe(2).
    pub(in crate::lifecycle) fn pipe() -> std::io::Result<(PipeReader, Self)> {
        let (reader, writer) = std::io::pipe()?;
        nix::fcntl::fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        nix::fcntl::fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((reader, Self(Mutex::new(Some(writer)))))
    }

    /// Writes one fault. A fault that cannot be written is lost.
    pub(in crate::lifecycle) fn tell(&self, fault: &str) {
        let line = format!("{}\n", fault.replace('\n', " "));
        let _ = match &mut *self.writer() {
            Some(pipe) => pipe.write_all(line.as_bytes()),
            None => write!(std::io::stderr(), "runu: {line}"),
        };
    }

    /// From here on faults of this process go to stderr: nobody reads the pipe when
    /// `create` is over.
    pub(in crate::lifecycle) fn use_stderr(&self) {
        *self.writer() = None;
    }

    fn writer(&self) -> MutexGuard<'_, Option<PipeWriter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is this error, in one line: what was told of it, and the system's word
/// where the error keeps one.
pub(in crate::lifecycle) fn explain(pipe: PipeReader, error: &(dyn Error + 'static)) -> String {
    let Some(told) = told(pipe) else {
        return chain(error);
    };
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    match root.downcast_ref::<std::io::Error>() {
        Some(cause) if !told.contains(&cause.to_string()) => format!("{told}: {cause}"),
        _ => told,
    }
}

/// What was told, in one line. Does not wait: a fault is in the pipe before its
/// teller ends.
fn told(mut pipe: PipeReader) -> Option<String> {
    let mut text = vec![0; MAX];
    let count = pipe.read(&mut text).ok().filter(|&count| count > 0)?;
    let text = String::from_utf8_lossy(&text[..count]);
    // ErrorPipe are told on their way out, the deepest first.
    let is_outer = |line: &str| OUTER.iter().any(|outer| line.starts_with(outer));
    let inner: Vec<_> = text.lines().take_while(|line| !is_outer(line)).collect();
    match inner.is_empty() {
        true => text.lines().next().map(str::to_owned),
        false => Some(inner.join("; ")),
    }
}

impl Subscriber for ErrorPipe {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.tell(&(text.message + &text.fields));
    }

    // Spans are of no interest; all have the same ID.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event as a text: its message, then its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, ", {name} {value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_faults_are_told() {
        let (pipe, faults) = ErrorPipe::pipe().unwrap();
        let faults = std::sync::Arc::new(faults);
        tracing::subscriber::with_default(faults.clone(), || {
            tracing::error!(path = "/x", "failed to mount\nit");
            tracing::warn!("of no interest");
            faults.tell("no rootfs");
            tracing::error!("failed to initialize container process: {}", "no rootfs");
            tracing::error!("failed to run container process");
        });
        let told = told(pipe).unwrap();
        assert_eq!(told, "failed to mount it, path \"/x\"; no rootfs");
    }

    #[test]
    fn what_has_no_depth_is_told_once_and_nothing_is_none() {
        let (pipe, faults) = ErrorPipe::pipe().unwrap();
        faults.tell("failed to initialize container process: io error");
        faults.tell("failed to run container process: io error");
        let told_once = told(pipe).unwrap();
        assert_eq!(
            told_once,
            "failed to initialize container process: io error"
        );
        let (pipe, _faults) = ErrorPipe::pipe().unwrap();
        assert_eq!(told(pipe), None);
    }
}
