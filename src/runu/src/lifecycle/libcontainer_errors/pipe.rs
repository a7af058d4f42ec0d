//! The way of an error from the processes of a container that is being made to `create`.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FcntlArg, OFlag};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

use crate::exit::one_line;
use crate::lifecycle::libcontainer_errors::event::Event;

/// The most that is read of the pipe, in bytes.
const MAX: usize = 32 << 10;

/// The end that is written to: by the monitor, and by libcontainer's events. Each is one line of
/// JSON.
#[derive(Debug)]
pub(in crate::lifecycle) struct ErrorPipe(Mutex<Sink>);

#[derive(Debug)]
enum Sink {
    Pipe(PipeWriter),
    /// Nobody reads the pipe when `create` is over.
    Stderr,
    Closed,
}

impl ErrorPipe {
    /// A pipe for errors. Neither end ever waits.
    ///
    /// # Errors
    /// Those of pipe(2).
    pub(in crate::lifecycle) fn new() -> io::Result<(PipeReader, Self)> {
        let (reader, writer) = io::pipe()?;
        nix::fcntl::fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        nix::fcntl::fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok((reader, Self(Mutex::new(Sink::Pipe(writer)))))
    }

    /// Writes one error. An error that cannot be written is lost.
    pub(in crate::lifecycle) fn write(&self, error: &str) {
        self.write_event(&Event::of(error));
    }

    /// From here on errors of this process go to stderr.
    pub(in crate::lifecycle) fn use_stderr(&self) {
        *self.sink() = Sink::Stderr;
    }

    /// From here on nothing is written: all was said.
    pub(in crate::lifecycle) fn close(&self) {
        *self.sink() = Sink::Closed;
    }

    fn write_event(&self, event: &Event) {
        let _ = match &mut *self.sink() {
            Sink::Pipe(pipe) => {
                let mut line = serde_json::to_vec(event).unwrap_or_default();
                line.push(b'\n');
                pipe.write_all(&line)
            }
            Sink::Stderr => writeln!(io::stderr(), "runu: {}", one_line(&event.sentence())),
            Sink::Closed => Ok(()),
        };
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was written. Does not wait: an event is in the pipe before the process that wrote it ends.
pub(super) fn read(mut pipe: PipeReader) -> Vec<Event> {
    let mut text = vec![0; MAX];
    let count = pipe.read(&mut text).unwrap_or(0);
    let lines = text[..count].split(|&byte| byte == b'\n');
    // The last one may be cut.
    lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

impl Subscriber for ErrorPipe {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut read = Event::default();
        event.record(&mut read);
        self.write_event(&read);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_errors_arrive_as_they_were_written() {
        let (pipe, errors) = ErrorPipe::new().unwrap();
        let errors = std::sync::Arc::new(errors);
        tracing::subscriber::with_default(errors.clone(), || {
            tracing::error!(path = "/x", "failed to mount\nit");
            tracing::warn!("of no interest");
            errors.write("no rootfs");
        });
        errors.close();
        errors.write("too late");
        let events = read(pipe);
        let messages: Vec<_> = events.iter().map(|event| &*event.message).collect();
        assert_eq!(messages, ["failed to mount\nit", "no rootfs"]);
        assert_eq!(events[0].field("path"), Some("\"/x\""));
    }

    #[test]
    fn nothing_is_no_event() {
        let (pipe, _errors) = ErrorPipe::new().unwrap();
        assert_eq!(read(pipe), []);
    }
}
