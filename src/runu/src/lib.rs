//! runu: one OCI runtime for ordinary containers and unikernels.
//!
//! A call goes one way. Names in capitals are crates, `facts`, `policy` and `plan` are modules of
//! the crate `decision`, the others are modules of this one:
//!
//! ```text
//! argv ─► cli ─► BUNDLE ─► dispatch ─► facts ─► policy ─► plan
//!                             │                   ├─ container ─► runc (execve, argv untouched)
//!                             └─► IMAGE           ├─ unikernel ─► lifecycle ─► NET, GUEST, VMM
//!                                                 └─ deny ──────► one clear error
//! a verb with an ID ─► is the ID in runu's own store? ─► lifecycle : runc
//! any other verb    ─► runc; `list` and `features` merge both
//! ```
//!
//! | module | what it knows |
//! |---|---|
//! | [`cli`] | command lines: runc's grammar, and the verbs of runu's own |
//! | [`config`] | the node's configuration |
//! | [`dispatch`] | from a bundle to a decision: asks for as much as the policy needs |
//! | [`runc`] | the delegate: found, guarded against, executed |
//! | [`lifecycle`] | a unikernel from `create` to `delete`, and the store |
//! | [`explain`] | `runu explain`: a decision for people and for programs |
//! | [`doctor`] | `runu doctor`: what this host can run, and what is missing |
//! | [`policy_cli`] | `runu policy`: a policy checked, tested and shown |
//! | [`features`] | what the runtime says of itself: the delegate's and its own |
//! | [`exit`] | results on stdout, an error's way to stderr and the caller's log |
//!
//! | crate | what it knows |
//! |---|---|
//! | [`bundle`] | config.json, and files beneath a rootfs |
//! | [`image`] | what an image says of itself: media types, platform, annotations |
//! | [`decision`] | facts of a bundle, the policy's rules, the plan of a machine, the explanation |
//! | [`guest`] | each family of unikernels: its command line, its drivers, its root |
//! | [`net`] | a guest's place in a pod's network namespace |
//! | [`vmm`] | the KVM monitor; it knows nothing of containers |
//! | [`p9`] | the 9P2000.L server by which a guest has files |

// A test knows its numbers.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::too_many_lines
    )
)]

pub mod cli;
pub mod config;
pub mod dispatch;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod features;
pub mod lifecycle;
pub mod policy_cli;
pub mod runc;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, anyhow};

use bundle::Bundle;
use cli::{Command, Create, Format, Invocation, Verb, own};
use config::Config;
use decision::explanation::{self, Explanation};
use decision::facts::GatherOptions;
use decision::policy::Outcome;
use dispatch::{Evaluation, ImageLookup};
use lifecycle::{Request, Store};

/// runc's exit code for an `exec` that could not be done.
const EXEC_FAILED: u8 = 255;

/// The whole program: does what `argv` asks, reports an error, gives the exit
/// code. Does not return where runc takes over.
pub fn run(argv: Vec<OsString>) -> ExitCode {
    let call = Invocation::parse(argv);
    execute(&call).unwrap_or_else(|error| {
        exit::report(&call.globals, error.as_ref());
        match call.command {
            Command::OnContainer {
                verb: Verb::Exec, ..
            } => ExitCode::from(EXEC_FAILED),
            _ => ExitCode::FAILURE,
        }
    })
}

fn execute(call: &Invocation) -> Result<ExitCode> {
    let store = || Store::of(call.globals.root.as_deref());
    match &call.command {
        Command::Create(args) | Command::Restore(args) => create(call, args),
        Command::OnContainer { id, verb } if store().holds(id) => {
            Ok(lifecycle::answer(&store(), id, verb)?)
        }
        Command::List { format, quiet } => list(call, &store(), *format, *quiet),
        Command::Features => {
            features::print(&Config::load_or_default())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Own(own::Command::Doctor(args)) => Ok(doctor::doctor(args.format)),
        Command::Own(own::Command::Explain(args)) => Ok(explain::explain(&call.globals, args)?),
        Command::Own(own::Command::Policy(command)) => Ok(policy_cli::run(command)?),
        Command::Own(own::Command::Hook(hook)) => match lifecycle::run_hook(hook)? {},
        Command::Own(own::Command::Help) | Command::Version if presents_runc(call) => {
            delegate(&Config::load_or_default(), call)
        }
        Command::Own(own::Command::Help) => Ok(print(&own::help())),
        Command::Own(own::Command::Usage(usage)) => usage.exit(),
        Command::UnknownFlag { verb, error } => Err(anyhow!(
            "{error}: runu cannot tell what {verb} would run with it"
        )),
        Command::Version => Ok(print(&version())),
        Command::OnContainer { id, verb } => delegate(&Config::load_or_default(), call)
            .or_else(|error| not_found(&store(), id, verb, error)),
        Command::Delegate => delegate(&Config::load_or_default(), call),
    }
}

/// `create`, `run` and `restore`: looks at the bundle, decides, and goes one of three ways.
fn create(call: &Invocation, args: &Create) -> Result<ExitCode> {
    let config = Config::load()?;
    let bundle = Bundle::open(&args.bundle)?;
    let Evaluation {
        facts,
        decision,
        files,
    } = dispatch::evaluate(
        &config,
        &ImageLookup::of(&call.globals),
        &bundle,
        GatherOptions::default(),
    )?;
    if call.globals.debug {
        exit::debug(&call.globals, &explanation::line(&args.id, &decision));
    }
    match decision.outcome {
        Outcome::Container if Store::of(call.globals.root.as_deref()).holds(&args.id) => {
            Err(lifecycle::StoreError::Exists {
                id: args.id.clone(),
            }
            .into())
        }
        Outcome::Container => delegate(&config, call),
        Outcome::Deny => Err(anyhow!("{}", decision.reason)),
        Outcome::Unikernel(_) if matches!(call.command, Command::Restore(_)) => {
            Err(lifecycle::Error::Restore {
                id: args.id.clone(),
            }
            .into())
        }
        Outcome::Unikernel(ref plan) => {
            let explanation = Explanation::of(&facts, &decision)?.to_string();
            let globals = &call.globals;
            let virtiofsd = plan.virtiofs.is_some().then(|| config.find_virtiofsd());
            let request = Request {
                globals,
                args,
                bundle: &bundle,
                rule: decision.rule.as_ref().map(|rule| rule.name.clone()),
                plan: (**plan).clone(),
                explanation,
                files,
                virtiofsd: virtiofsd.transpose()?,
            };
            match args.run {
                Some(_) => Ok(lifecycle::run(request)?),
                None => lifecycle::create(request)
                    .map(|_| ExitCode::SUCCESS)
                    .map_err(Into::into),
            }
        }
    }
}

/// `list`: runc's own where runu has none, else both in one table.
fn list(call: &Invocation, store: &Store, format: Format, quiet: bool) -> Result<ExitCode> {
    let config = Config::load_or_default();
    let mut rows = lifecycle::rows(store);
    if rows.is_empty() {
        return delegate(&config, call);
    }
    if runc::find(&config).is_ok() {
        let root = call
            .globals
            .root
            .iter()
            .flat_map(|r| ["--root".into(), r.into()]);
        let args: Vec<OsString> = root
            .chain(["list", "--format", "json"].map(OsString::from))
            .collect();
        let theirs: Option<Vec<lifecycle::Row>> =
            serde_json::from_slice(&runc::output(&config, &args)?)?;
        rows.extend(theirs.unwrap_or_default());
    }
    lifecycle::print_list(&rows, format, quiet);
    Ok(ExitCode::SUCCESS)
}

fn delegate(config: &Config, call: &Invocation) -> Result<ExitCode> {
    match runc::exec(config, &call.argv)? {}
}

/// What is to be said of a container that is not runu's where runc's `error` is that there is
/// no runc. Without a trace of one of runc's it never was: a node of unikernels alone has no
/// runc, and its callers delete twice.
fn not_found(store: &Store, id: &str, verb: &Verb, error: anyhow::Error) -> Result<ExitCode> {
    let is_gone = matches!(error.downcast_ref(), Some(runc::Error::NotFound { .. }));
    match verb {
        _ if !is_gone || store.delegate_holds(id) => Err(error),
        Verb::Delete { force: true } => Ok(ExitCode::SUCCESS),
        _ => Err(lifecycle::StoreError::Missing { id: id.to_owned() }.into()),
    }
}

/// Whether who asks for runc's name and version gets runc's own: callers look for
/// the words "runc version". Without a delegate runu speaks for itself.
fn presents_runc(call: &Invocation) -> bool {
    call.is_called_runc() && runc::find(&Config::load_or_default()).is_ok()
}

fn print(text: &str) -> ExitCode {
    exit::say(text.trim_end());
    ExitCode::SUCCESS
}

/// Callers read the first line for a version and look for the word "spec".
fn version() -> String {
    format!(
        "runu version {}\nspec: {}\n",
        env!("CARGO_PKG_VERSION"),
        oci_spec::runtime::VERSION
    )
}
