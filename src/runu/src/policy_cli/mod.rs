//! `runu policy`: a policy looked at, checked and tested before it reaches a node.

mod cases;
mod error;
mod expect;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::own;
use crate::config::Config;
use crate::exit;
use decision::policy::{self, Policy, PolicyError, Rule, Then};
pub use error::Error;

/// `runu policy`.
///
/// # Errors
/// Where there is nothing to work on; what a check or a test finds is its result, not an
/// error.
pub fn run(command: &own::Policy) -> Result<ExitCode, Error> {
    match command {
        own::Policy::Check { files } => check(files),
        own::Policy::Show { policy } => {
            show(&load(policy)?);
            Ok(ExitCode::SUCCESS)
        }
        own::Policy::Test { dir, policy } => cases::run(dir, &load(policy)?),
    }
}

/// The node's policy, or what it would be with these files as the site's.
fn load(files: &[PathBuf]) -> Result<Policy, Error> {
    match files {
        [] => Ok(Policy::load(&Config::load()?.policy)?),
        files => Ok(Policy::of_files(files)?),
    }
}

/// Says of each file whether it is a policy; 1 if one is none.
fn check(files: &[PathBuf]) -> Result<ExitCode, Error> {
    let files = match files {
        [] => policy::site_files(&Config::load()?.policy)?,
        files => files.to_vec(),
    };
    if files.is_empty() {
        exit::say("no policy files: the default's rules are in force");
    }
    let mut code = ExitCode::SUCCESS;
    for path in files {
        match policy::read(&path) {
            Ok(file) => {
                exit::say(&format!(
                    "ok      {}: {} rules",
                    path.display(),
                    file.rules.len()
                ));
                if let Some(rule) = catch_all(&file.rules) {
                    exit::say(&format!(
                        "note    {}: rule {rule:?} holds for everything: \
                         no rule after it is reached",
                        path.display()
                    ));
                }
            }
            Err(error) => {
                exit::say(&format!("wrong   {}", causes(&error)));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// An error with its causes, which for a syntax error are several lines with the place.
fn causes(error: &PolicyError) -> String {
    exit::chain(error).trim_end().replace('\n', "\n        ")
}

/// The name of the first rule without conditions that has rules after it.
fn catch_all(rules: &[Rule]) -> Option<&str> {
    let (_, all_but_last) = rules.split_last()?;
    let rule = all_but_last.iter().find(|rule| rule.when.is_empty())?;
    Some(&rule.name)
}

fn name(then: Then) -> &'static str {
    match then {
        Then::Container => "container",
        Then::Unikernel => "unikernel",
        Then::Deny => "deny",
    }
}

/// Prints the rules in the order in which they are tried.
fn show(policy: &Policy) {
    let mut file = "";
    for rule in &policy.rules {
        if rule.file != file {
            file = &rule.file;
            exit::say(&format!("{file}:"));
        }
        let then = name(rule.then);
        exit::say(&format!("  {:<24} {then:<10} {}", rule.name, rule.because));
    }
    for limit in policy.limits.describe() {
        exit::say(&format!("pods may {limit}"));
    }
}
