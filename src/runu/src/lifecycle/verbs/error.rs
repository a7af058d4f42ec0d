//! Why a verb cannot be done; [`Error`](crate::lifecycle::Error) says of which container.

use std::io;
use std::path::PathBuf;

use libcontainer::config::ConfigError as YoukiConfigError;
use libcontainer::error::LibcontainerError as ContainerError;
use libcontainer::notify_socket::NotifyListenerError;
use nix::errno::Errno;

use crate::lifecycle::cgroup::error::CgroupError;
use crate::lifecycle::effective_config::error::ConfigError;
use crate::lifecycle::hooks::error::HookError;
use crate::lifecycle::libcontainer_errors::LibcontainerError;
use crate::lifecycle::monitor::start_channel::StartChannelError;
use crate::lifecycle::resources::boot_files::BootFileError;
use crate::lifecycle::resources::error::ResourceError;
use crate::lifecycle::resources::network::error::NetworkError;
use crate::lifecycle::store::error::StoreError;
use decision::facts::quantity::display;

/// Why a container cannot be made.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum CreateError {
    #[error("--pidfd-socket is not supported: use --pid-file")]
    PidfdSocket,
    #[error("process.terminal is true: name a console socket with --console-socket")]
    NoConsoleSocket,
    #[error("--console-socket is of no use without a terminal: set process.terminal to true")]
    ConsoleSocketWithoutTerminal,
    #[error("--console-socket is of no use in the foreground: add --detach, or leave it out")]
    ConsoleSocketInForeground,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    BootFile(#[from] BootFileError),
    #[error(transparent)]
    Resource(#[from] ResourceError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Libcontainer(#[from] LibcontainerError),
    #[error("its process is gone")]
    NoProcess,
    #[error("a pipe")]
    Pipe(#[source] io::Error),
    #[error("the socket of start")]
    StartChannel(#[source] io::Error),
    #[error("console socket")]
    ConsoleSocket(#[source] io::Error),
    #[error("pid file {}", path.display())]
    PidFile { path: PathBuf, source: io::Error },
}

/// Why a container that was made does not start.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum StartError {
    #[error(transparent)]
    Container(#[from] Box<ContainerError>),
    #[error(transparent)]
    Connect(io::Error),
    #[error(transparent)]
    Channel(#[from] StartChannelError),
    #[error(transparent)]
    Resource(#[from] ResourceError),
    #[error(transparent)]
    Devices(#[from] vmm::Error),
    #[error(transparent)]
    CommandLine(#[from] guest::Error),
    #[error(transparent)]
    Gate(#[from] Box<NotifyListenerError>),
    #[error(transparent)]
    State(#[from] serde_json::Error),
    #[error(transparent)]
    SaveState(io::Error),
    #[error(transparent)]
    YoukiConfig(#[from] Box<YoukiConfigError>),
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error("its terminal")]
    Terminal(#[source] io::Error),
    /// Signals cannot be read, or its end not be waited for.
    #[error(transparent)]
    Wait(#[from] Errno),
}

/// Why another verb cannot be done.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum VerbError {
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Resource(#[from] ResourceError),
    #[error(transparent)]
    Interval(#[from] IntervalError),
    #[error(transparent)]
    Update(#[from] UpdateError),
    #[error(transparent)]
    Ps(#[from] PsError),
    /// Events cannot be read, or nobody reads them.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why `events` has no interval.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::lifecycle) enum IntervalError {
    #[error("--interval {text:?} is no time: write one such as 500ms or 1m30s")]
    Malformed { text: String },
    #[error("--interval must be more than 0")]
    Zero,
}

/// Why `ps` shows nothing.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum PsError {
    #[error("ps")]
    Run(#[source] io::Error),
    #[error("ps prints no column PID: give it other arguments")]
    NoPidColumn,
}

/// Why limits are not changed.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum UpdateError {
    #[error("{}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("{name}")]
    Json {
        name: String,
        source: serde_json::Error,
    },
    #[error("resources")]
    Resources(#[source] serde_json::Error),
    #[error("--{name} is not supported for a unikernel")]
    Flag { name: String },
    #[error("--{name} {text:?} is no amount")]
    Amount { name: String, text: String },
    #[error(
        "its guest has {} of memory, and a limit of {} leaves less beside the monitor",
        display(*memory),
        display(*limit)
    )]
    TooSmall { memory: u64, limit: u64 },
}
