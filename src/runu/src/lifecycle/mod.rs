//! A unikernel's life as the OCI runtime-spec tells it ("Lifecycle"): one
//! short file for each verb, over the [`store`].

mod bus;
mod cgroup;
mod create;
mod delete;
mod error;
mod events;
mod faults;
mod files;
mod freezer;
mod handover;
mod hierarchy;
mod hook;
mod kill;
mod list;
mod lock;
mod monitor;
mod network;
mod notify;
mod pause;
mod process;
mod ps;
mod relay;
mod root_disk;
mod run;
mod scope;
mod seal;
mod snapshot;
mod start;
mod start_hooks;
mod state;
mod stats;
mod store;
mod tree;
mod unikernel;
mod update;
mod user;
mod virtiofsd;
mod vsock;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Verb;

pub use create::{Request, create};
pub use error::Error;
pub use hook::run as run_hook;
pub use list::{Row, print as print_list, rows};
pub use run::run;
pub use state::Status;
pub use store::Store;
pub use unikernel::Unikernel;

/// Answers a verb on a container that the store holds.
///
/// # Errors
/// As each verb's own file says.
pub fn answer(store: &Store, id: &str, verb: &Verb) -> Result<ExitCode> {
    let unikernel = || Unikernel::load(store, id);
    // For a verb that changes what is on disk: one after the other.
    let lock = || lock::Lock::take(&store.entry(id));
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
        Verb::Malformed(fault) => return Err(fault.clone().into()),
        Verb::Exec => return Err(refuse_exec(&unikernel()?).into()),
        Verb::Events(args) => events::events(&unikernel()?, args)?,
        Verb::Checkpoint => {
            let id = unikernel()?.record.id;
            return Err(Error::Checkpoint { id }.into());
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
