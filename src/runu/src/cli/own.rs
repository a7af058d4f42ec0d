//! The verbs that runc does not have, read by clap.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

/// A verb of runu's own.
#[derive(Debug)]
pub enum Command {
    Doctor(Doctor),
    Explain(Explain),
    Hook(Hook),
    Policy(Policy),
    /// No verb, or `--help`.
    Help,
    /// Words that clap refused, or its help for one verb: to be printed.
    Usage(clap::Error),
}

/// `runu explain`.
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The bundle to look at: the directory that holds config.json, or `-` for a config.json
    /// on stdin, with the working directory as its directory
    #[arg(short, long, default_value = ".")]
    pub bundle: PathBuf,
    /// An image in place of a bundle: the directory of its OCI layout
    #[arg(short, long, value_name = "DIR", conflicts_with = "bundle")]
    pub layout: Option<PathBuf>,
    /// A container that was created already: how it was decided about
    #[arg(short, long, value_name = "ID", conflicts_with_all = ["bundle", "layout"])]
    pub container: Option<String>,
    /// How to print the decision
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

/// `runu doctor`.
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    pub format: ReportFormat,
}

/// `runu policy`.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Read policy files as a node would, and say what is wrong with them
    Check {
        /// Policy files; the node's own where there is none
        files: Vec<PathBuf>,
    },
    /// Hold a policy against cases, each with the decision that is expected
    Test {
        /// The directory with the cases: files *.toml
        dir: PathBuf,
        /// A policy file in place of the node's own; may be given several times
        #[arg(long)]
        policy: Vec<PathBuf>,
    },
    /// Print the rules in force, in the order in which they are tried, and their files
    Show {
        /// A policy file in place of the node's own; may be given several times
        #[arg(long)]
        policy: Vec<PathBuf>,
    },
}

/// `runu hook`: how hooks of a unikernel are called.
#[derive(Debug, clap::Args)]
pub struct Hook {
    /// The bundle that the hook is told of
    pub bundle: PathBuf,
    /// The hook
    pub path: PathBuf,
    /// Its name and arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub args: Vec<OsString>,
}

/// `--format` of `runu explain` and `runu doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Text,
    Json,
}

const AFTER_HELP: &str = "\
Every verb and flag of runc's is accepted as runc accepts it: create, run, start, state,
kill, delete, exec, list, ps, pause, resume and the rest, --version among them; see
`runc --help`.";

/// One OCI runtime for nodes that run ordinary containers and unikernels side by side.
///
/// `create` and `run` look at the bundle: an ordinary container goes to runc, a unikernel boots
/// in runu's own KVM monitor. Every other verb goes to whichever made the container.
#[derive(Parser)]
#[command(
    name = "runu",
    after_help = AFTER_HELP
)]
struct Cli {
    #[command(subcommand)]
    verb: OwnVerb,
}

#[derive(Subcommand)]
enum OwnVerb {
    /// Say what this host can run, and what is missing
    Doctor(Doctor),
    /// Say how a bundle would run, by which rule and why; start nothing
    Explain(Explain),
    /// Check, test and show the rules by which bundles are told apart
    #[command(subcommand)]
    Policy(Policy),
    /// Run a hook with the caller's bundle in the state on its stdin
    #[command(hide = true)]
    Hook(Hook),
}

/// Whether `verb` is one of runu's own. A plain match: the way to runc passes here.
pub fn is_own(verb: &str) -> bool {
    matches!(verb, "doctor" | "explain" | "help" | "hook" | "policy")
}

/// Reads the words from the verb on.
pub fn parse(words: &[OsString]) -> Command {
    if words.first().is_some_and(|w| w == "help") && words.len() == 1 {
        return Command::Help;
    }
    let argv = std::iter::once(OsString::from("runu")).chain(words.iter().cloned());
    match Cli::try_parse_from(argv) {
        Ok(Cli {
            verb: OwnVerb::Doctor(doctor),
        }) => Command::Doctor(doctor),
        Ok(Cli {
            verb: OwnVerb::Explain(explain),
        }) => Command::Explain(explain),
        Ok(Cli {
            verb: OwnVerb::Hook(hook),
        }) => Command::Hook(hook),
        Ok(Cli {
            verb: OwnVerb::Policy(policy),
        }) => Command::Policy(policy),
        Err(error) => Command::Usage(error),
    }
}

/// The text of `runu --help`.
pub fn help() -> String {
    Cli::command().render_long_help().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_of_claps_is_known_as_own() {
        Cli::command().debug_assert();
        for verb in Cli::command().get_subcommands() {
            assert!(is_own(verb.get_name()), "{}", verb.get_name());
        }
    }
}
