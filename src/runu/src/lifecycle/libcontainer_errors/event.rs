//! One event of libcontainer's log, or one error of the monitor.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};
use tracing::field::{Field, Visit};

use crate::lifecycle::libcontainer_errors::debug_text::{
    error_number, is_structure, quoted, system_error, without_structures,
};

/// A message, and fields as Rust's debug text.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    pub message: String,
    pub fields: Vec<(String, String)>,
}

impl Event {
    /// A message without fields.
    pub(super) fn of(message: &str) -> Self {
        Self {
            message: message.to_owned(),
            fields: Vec::new(),
        }
    }

    /// The text of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|(field, _)| field == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The message and the fields' texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter().map(|(_, value)| value.as_str());
        std::iter::once(self.message.as_str()).chain(fields)
    }

    /// The event as a sentence, without Rust's debug text.
    pub(super) fn sentence(&self) -> String {
        let mut text = without_structures(&self.message);
        let mut cause = None;
        for (name, value) in &self.fields {
            match cause_of(name, value) {
                Some(error) => cause = Some(error),
                None if is_structure(value) => cause = cause.or_else(|| quoted(value)),
                // Of no use to the caller.
                None if matches!(name.as_str(), "pid" | "init") => {}
                None => text += &format!(", {name} {value}"),
            }
        }
        match cause {
            Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
            _ => text,
        }
    }
}

impl Visit for Event {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push((name.to_owned(), format!("{value:?}"))),
        }
    }
}

/// Why it went wrong, by one field of an event.
fn cause_of(name: &str, value: &str) -> Option<String> {
    if let Some(status) = value.strip_prefix("NonZeroExitCode(") {
        let status = status.trim_end_matches(')');
        return Some(format!(
            "hook command exited with non-zero exit code: {status}"
        ));
    }
    match name {
        "err" | "errno" => error_number(value).or_else(|| system_error(value)),
        _ => system_error(value),
    }
}
