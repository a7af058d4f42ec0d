//! A unikernel's life as the OCI runtime-spec describes it ("Lifecycle"), from `create` to
//! `delete`.
//!
//! | module | what it knows |
//! |---|---|
//! | `verbs` | one file for each verb of the command line |
//! | `request` | what a `create` or `run` is made from |
//! | `effective_config` | config.json as the container around the monitor is built from it |
//! | `resources` | what a guest uses of the host: prepared, started, undone |
//! | `monitor` | the container's init process, which is the virtual machine |
//! | `hooks` | the caller's hooks |
//! | `cgroup` | the container's cgroup: limits, freezer, statistics, systemd |
//! | `store` | containers on disk: directory, record, lock |
//! | `unikernel`, `status` | a container read back, and where it is in its life |
//! | `libcontainer_errors` | libcontainer's errors in the words of config.json |
//! | `process`, `user` | a process by pid and start time; whose call it is |
//! | `error` | one line for the caller; the causes are each module's own |
//!
//! A resource is added so: implement `resources::Resource` in a file of its own, put it into the
//! lists of `resources/list.rs` (the order there is the order in which resources are made; undoing
//! goes backwards), and add its error to `resources/error.rs`. What `create` has for it beside the
//! record is a field of `resources::CreateInputs`.

mod cgroup;
mod effective_config;
mod error;
mod hooks;
mod libcontainer_errors;
mod monitor;
mod process;
mod request;
mod resources;
mod status;
mod store;
mod unikernel;
mod user;
mod verbs;

use std::process::ExitCode;

use crate::cli::Verb;

use store::lock::Lock;
use verbs::{delete, events, kill, pause, ps, start, state, update};

pub use error::Error;
pub use hooks::wrapper::run as run_hook;
pub use request::Request;
pub use status::Status;
pub use store::Store;
pub use store::error::StoreError;
pub use unikernel::Unikernel;
pub use verbs::create::create;
pub use verbs::list::{Row, print as print_list, rows};
pub use verbs::run::run;

/// Answers a verb on a container that the store holds.
///
/// # Errors
/// As each verb's own file says.
pub fn answer(store: &Store, id: &str, verb: &Verb) -> Result<ExitCode, Error> {
    let unikernel = || Unikernel::load(store, id);
    // For a verb that changes what is on disk: one after the other.
    let lock = || Lock::acquire(&store.entry(id));
    match verb {
        Verb::Start => {
            let _lock = lock()?;
            let unikernel = unikernel()?;
            let pid = unikernel.process().map_or(0, |process| process.pid);
            start::start(&unikernel, pid)?;
        }
        Verb::State => state::print(&unikernel()?)?,
        Verb::Kill { signal, all } => kill::kill(&unikernel()?, signal, *all)?,
        Verb::Delete { force } => delete::delete(store, id, *force)?,
        Verb::Pause => {
            let _lock = lock()?;
            pause::pause(&unikernel()?)?;
        }
        Verb::Resume => {
            let _lock = lock()?;
            pause::resume(&unikernel()?)?;
        }
        Verb::Ps { format, args } => ps::ps(&unikernel()?, *format, args)?,
        Verb::Update(args) => update::update(&unikernel()?, args)?,
        Verb::Malformed(error) => return Err(error.clone().into()),
        Verb::Exec => return Err(refuse_exec(&unikernel()?)),
        Verb::Events(args) => events::events(&unikernel()?, args)?,
        Verb::Checkpoint => {
            let id = unikernel()?.record.id;
            return Err(Error::Checkpoint { id });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why there is no `exec`; where runc would have none either, in runc's words.
fn refuse_exec(unikernel: &Unikernel) -> Error {
    let id = unikernel.id().to_owned();
    match unikernel.status() {
        Status::Paused => Error::ExecPaused { id },
        Status::Stopped => Error::ExecStopped { id },
        _ => Error::Exec { id },
    }
}
