//! `runu doctor`: what this host can run, and what is missing.

mod host;
mod kvm;
mod node;

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::own::ReportFormat;
use crate::config::{Config, ConfigError};
use crate::exit;

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Something that some guests or callers want is not there.
    Limited,
    /// Without it a kind of workload cannot run here at all.
    Missing,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    subject: &'static str,
    state: State,
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
    fn ok(subject: &'static str, found: impl Into<String>) -> Self {
        Self {
            subject,
            state: State::Ok,
            found: found.into(),
            cure: None,
            details: Value::Null,
        }
    }

    fn limited(subject: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            state: State::Limited,
            cure: Some(cure.into()),
            ..Self::ok(subject, found)
        }
    }

    fn missing(subject: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            state: State::Missing,
            ..Self::limited(subject, found, cure)
        }
    }

    fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }

    /// `ok       kvm      …`, and the cure below.
    fn line(&self) -> String {
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

/// Looks at the host and prints what it found. The exit code is 1 where something is missing.
///
/// # Errors
/// Where the report cannot be written as JSON.
pub fn doctor(format: ReportFormat) -> Result<ExitCode> {
    let checks = checks(Config::load());
    let missing = checks.iter().any(|check| check.state == State::Missing);
    match format {
        ReportFormat::Text => {
            for check in &checks {
                exit::say(&check.line());
            }
        }
        ReportFormat::Json => {
            let report = json!({ "version": 1, "ready": !missing, "checks": checks });
            exit::say(&format!("{report:#}"));
        }
    }
    Ok(match missing {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

fn checks(config: Result<Config, ConfigError>) -> Vec<Check> {
    let (config, configuration) = node::configuration(config);
    let mut checks = kvm::checks();
    checks.extend([
        host::cpu(),
        host::memory(),
        host::tun(),
        host::cgroups(),
        configuration,
        node::policy(&config),
        node::delegate(&config),
        node::containerd(&config),
        node::virtiofsd(&config),
    ]);
    checks
}
