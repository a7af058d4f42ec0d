//! One thing that the doctor looks at, and how well it is.

use std::error::Error;

use serde::Serialize;
use serde_json::Value;

use crate::exit;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Ok,
    /// Something that some guests or callers want is not there.
    Limited,
    /// Without it a kind of workload cannot run here at all.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    subject: &'static str,
    pub(super) state: State,
    /// What is there, or is not, in one line.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cure: Option<String>,
    /// The same for programs, by key.
    #[serde(skip_serializing_if = "Value::is_null")]
    details: Value,
}

impl Check {
    pub(super) fn ok(subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            subject,
            state: State::Ok,
            found: found.into(),
            cure: None,
            details: Value::Null,
        }
    }

    pub(super) fn limited(
        subject: &'static str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Limited,
            cure: Some(cure.into()),
            ..Self::ok(subject, found)
        }
    }

    pub(super) fn missing(
        subject: &'static str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self {
            state: State::Missing,
            ..Self::limited(subject, found, cure)
        }
    }

    pub(super) fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }

    /// `ok       kvm      …`, and the cure below.
    pub(super) fn line(&self) -> String {
        let state = match self.state {
            State::Ok => "ok",
            State::Limited => "limited",
            State::Missing => "missing",
        };
        let line = format!("{state:<8} {:<14} {}", self.subject, self.found);
        match &self.cure {
            Some(cure) => format!("{line}\n{:24}{cure}", ""),
            None => line,
        }
    }
}

/// An error and its causes, as one line.
pub(super) fn one_line(error: &dyn Error) -> String {
    exit::one_line(&exit::chain(error))
}
