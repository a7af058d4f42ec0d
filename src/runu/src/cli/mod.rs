//! From the raw argv to an [`Invocation`]: what is asked, of which container.
//!
//! The raw words are kept, because runc gets them as they are. Two grammars
//! meet here: runc's (the table in `grammar`) and that of runu's own verbs
//! (clap, in [`own`]).

mod flags;
mod grammar;
pub mod own;
mod usage_error;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use grammar::Parsed;
pub use usage_error::UsageError;

/// One call of the program.
#[derive(Debug)]
pub struct Invocation {
    /// The whole command line, word by word, with the program's name.
    pub argv: Vec<OsString>,
    pub globals: Globals,
    pub command: Command,
}

/// runc's global flags, as far as runu acts upon them.
#[derive(Debug, Default)]
pub struct Globals {
    /// `--root`: the directory of runc's state.
    pub root: Option<PathBuf>,
    /// `--log`: the file that gets a line for each error.
    pub log: Option<PathBuf>,
    /// `--debug`.
    pub debug: bool,
    /// `--log-format json`.
    pub log_json: bool,
    /// `--systemd-cgroup`.
    pub systemd_cgroup: bool,
}

/// What is asked.
#[derive(Debug)]
pub enum Command {
    /// `create` and `run`: the bundle is looked at.
    Create(Create),
    /// `restore`: likewise, but only runc has checkpoints.
    Restore(Create),
    /// A verb on a container that exists already: whoever made it answers.
    OnContainer { id: String, verb: Verb },
    /// `list`: runc's and runu's containers together.
    List { format: Format, quiet: bool },
    /// `features`: runc's and runu's together.
    Features,
    /// A verb of runu's own.
    Own(own::Command),
    /// `--version`.
    Version,
    /// One of these with a flag that is not known here: it may name another
    /// bundle or configuration than the one that would be looked at.
    UnknownFlag { verb: String, error: UsageError },
    /// Anything else is runc's.
    Delegate,
}

/// The arguments of `create`, `run` and `restore`.
#[derive(Debug)]
pub struct Create {
    pub id: String,
    pub bundle: PathBuf,
    pub console_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub no_pivot: bool,
    /// Whether there is a `--pidfd-socket`.
    pub pidfd_socket: bool,
    /// `None` for the others.
    pub run: Option<Run>,
}

/// What `run` has beyond `create`.
#[derive(Debug)]
pub struct Run {
    pub detach: bool,
    pub keep: bool,
}

/// The verbs that name an existing container.
#[derive(Debug)]
pub enum Verb {
    Start,
    State,
    Kill {
        signal: String,
        all: bool,
    },
    Delete {
        force: bool,
    },
    Pause,
    Resume,
    Ps {
        format: Format,
        args: Vec<String>,
    },
    /// A foreground or detached command inside: a unikernel has none.
    Exec,
    Update(Update),
    /// Any of them, with words that runc would refuse.
    Malformed(UsageError),
    Events(Events),
    Checkpoint,
}

/// The arguments of `events`.
#[derive(Debug)]
pub struct Events {
    /// `--stats`: once.
    pub stats: bool,
    /// `--interval`: a length of time as Go writes it.
    pub interval: String,
}

/// The arguments of `update`.
#[derive(Debug)]
pub struct Update {
    /// `--resources`: a file with the runtime-spec's `linux.resources`; `-` is stdin.
    pub resources: Option<PathBuf>,
    /// The other flags, by name, and their values.
    pub settings: Vec<(String, String)>,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Table,
    Json,
    /// Neither: an error, of whoever answers.
    Unknown,
}

impl Invocation {
    /// Reads a command line. Never fails: what is not understood is runc's to
    /// refuse.
    pub fn parse(argv: Vec<OsString>) -> Self {
        let global = grammar::parse(&grammar::GLOBAL, argv.get(1..).unwrap_or_default());
        let globals = Globals {
            root: path(&global, "root"),
            log: path(&global, "log"),
            debug: global.switch("debug"),
            log_json: global.value("log-format") == Some(OsStr::new("json")),
            systemd_cgroup: global.switch("systemd-cgroup"),
        };
        let command = command(&global);
        Self {
            argv,
            globals,
            command,
        }
    }

    /// Whether the program was called by runc's name, as where it is installed in
    /// runc's place: then it also presents itself as runc.
    pub fn is_called_runc(&self) -> bool {
        let name = self.argv.first().map(Path::new).and_then(Path::file_name);
        name == Some(OsStr::new("runc"))
    }
}

fn command(global: &Parsed) -> Command {
    let verb = global.positionals.split_first();
    match (&global.error, verb) {
        // A flag of a later runc's may stand before a verb.
        (None, _) | (Some(UsageError::UnknownFlag(_)), Some(_)) => {}
        _ => return Command::Delegate,
    }
    if global.switch("version") {
        return Command::Version;
    }
    let Some((verb, args)) = verb else {
        return Command::Own(own::Command::Help);
    };
    if global.switch("help") {
        return Command::Own(own::Command::Help);
    }
    let verb = verb.to_string_lossy();
    let of_another = |arg: &OsString| !own::is_own(&arg.to_string_lossy());
    if verb == "help" && args.first().is_some_and(of_another) {
        return Command::Delegate;
    }
    if own::is_own(&verb) {
        return Command::Own(own::parse(&global.positionals));
    }
    if verb == "features" && args.is_empty() {
        return Command::Features;
    }
    let Some(level) = grammar::level(&verb) else {
        return Command::Delegate;
    };
    let parsed = grammar::parse(&level, args);
    if parsed.switch("help") {
        return Command::Delegate;
    }
    match &*verb {
        "list" => match (format(&parsed), parsed.switch("quiet")) {
            (Format::Unknown, false) => Command::Delegate,
            (format, quiet) => Command::List { format, quiet },
        },
        "create" | "run" | "restore" => match (&parsed.error, create(&verb, &parsed)) {
            (Some(error @ UsageError::UnknownFlag(_)), _) => Command::UnknownFlag {
                verb: verb.into_owned(),
                error: error.clone(),
            },
            (None, Some(create)) if verb == "restore" => Command::Restore(create),
            (None, Some(create)) => Command::Create(create),
            _ => Command::Delegate,
        },
        _ => match parsed.positionals.first().and_then(|id| id.to_str()) {
            Some(id) => on_container(&verb, id, &parsed),
            None => Command::Delegate,
        },
    }
}

/// `None` where the words are not ones that runc would accept: it says so best.
fn create(verb: &str, parsed: &Parsed) -> Option<Create> {
    let [id] = parsed.positionals.as_slice() else {
        return None;
    };
    let run = Run {
        detach: parsed.switch("detach"),
        keep: parsed.switch("keep"),
    };
    Some(Create {
        id: id.to_str()?.to_owned(),
        bundle: path(parsed, "bundle").unwrap_or_else(|| Path::new(".").to_owned()),
        console_socket: path(parsed, "console-socket"),
        pid_file: path(parsed, "pid-file"),
        no_pivot: parsed.switch("no-pivot"),
        pidfd_socket: parsed.value("pidfd-socket").is_some(),
        run: (verb == "run").then_some(run),
    })
}

fn on_container(verb: &str, id: &str, parsed: &Parsed) -> Command {
    let of = |verb| Command::OnContainer {
        id: id.to_owned(),
        verb,
    };
    let counted = usage_error::check_count(verb, &parsed.positionals);
    if let Some(error) = parsed.error.clone().or(counted.err()) {
        return of(Verb::Malformed(error));
    }
    let rest = || {
        parsed.positionals[1..]
            .iter()
            .map(|s| s.to_string_lossy().into_owned())
    };
    let verb = match verb {
        "start" => Verb::Start,
        "state" => Verb::State,
        "kill" => Verb::Kill {
            signal: rest().next().unwrap_or_else(|| "SIGTERM".to_owned()),
            all: parsed.switch("all"),
        },
        "delete" => Verb::Delete {
            force: parsed.switch("force"),
        },
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "ps" => Verb::Ps {
            format: format(parsed),
            args: rest().collect(),
        },
        "exec" => Verb::Exec,
        "update" => Verb::Update(Update {
            resources: path(parsed, "resources"),
            settings: parsed.settings(),
        }),
        "events" => Verb::Events(Events {
            stats: parsed.switch("stats"),
            interval: parsed
                .value("interval")
                .map_or("5s".into(), |text| text.to_string_lossy().into_owned()),
        }),
        "checkpoint" => Verb::Checkpoint,
        _ => return Command::Delegate,
    };
    of(verb)
}

fn format(parsed: &Parsed) -> Format {
    match parsed.value("format") {
        None => Format::Table,
        Some(value) if value == "table" => Format::Table,
        Some(value) if value == "json" => Format::Json,
        Some(_) => Format::Unknown,
    }
}

fn path(parsed: &Parsed, name: &str) -> Option<PathBuf> {
    parsed
        .value(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests;
