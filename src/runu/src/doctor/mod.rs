//! `runu doctor`: what this host can run, and what is missing.

mod check;
mod host;
mod kvm;
mod node;

use std::process::ExitCode;

use serde_json::json;

use crate::cli::own::ReportFormat;
use crate::config::{Config, ConfigError};
use crate::exit;
use check::{Check, State};

/// Looks at the host and prints what it found. The exit code is 1 where something is missing.
pub fn doctor(format: ReportFormat) -> ExitCode {
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
    match missing {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
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
