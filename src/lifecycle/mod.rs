//! A unikernel's life as the OCI runtime-spec tells it ("Lifecycle"): one
//! short file for each verb, over the [`store`].

mod cgroup;
mod create;
mod delete;
mod error;
mod faults;
mod freezer;
mod hook;
mod kill;
mod list;
mod lock;
mod monitor;
mod pause;
mod process;
mod ps;
mod run;
mod scope;
mod seal;
mod snapshot;
mod start;
mod state;
mod store;
mod unikernel;
mod update;
mod user;

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
            start::start(&unikernel()?)?;
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
        Verb::Exec => return Err(Error::Exec { id: id.to_owned() }.into()),
        Verb::Other(verb) => {
            return Err(Error::Unsupported {
                verb: verb.clone(),
                id: id.to_owned(),
            }
            .into());
        }
    }
    Ok(ExitCode::SUCCESS)
}
