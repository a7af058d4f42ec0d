//! The hooks of `create` (runtime-spec, config.md, "POSIX-platform Hooks").
//!
//! libcontainer passes them a state whose bundle is the directory it read config.json
//! from, which is runu's own. So each is run by way of `runu hook`, which
//! replaces it by the caller's bundle.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::getppid;
use serde_json::{Value, json};

use crate::cli::own::Hook;
use crate::lifecycle::hooks::error::HookError;

/// The kinds that run before libcontainer's state can be corrected, and where
/// the host's files, this program with them, are in sight.
const KINDS: [&str; 3] = ["prestart", "createRuntime", "createContainer"];

/// Puts `runu hook` before the hooks of a configuration's `hooks`.
///
/// # Errors
/// When this program's path is not known.
pub(in crate::lifecycle) fn wrap(hooks: &mut Value, bundle: &Path) -> io::Result<()> {
    let own = std::env::current_exe()?;
    for kind in KINDS {
        let of_kind = hooks.get_mut(kind).and_then(Value::as_array_mut);
        // What is no object is libcontainer's to refuse.
        for hook in of_kind.into_iter().flatten().filter(|h| h.is_object()) {
            let path = hook["path"].take();
            // The first argument is the program's name; none is the path.
            let args = match hook["args"].take() {
                Value::Array(args) if !args.is_empty() => args,
                _ => vec![path.clone()],
            };
            let mut wrapped = vec![json!("runu"), json!("hook"), json!(bundle), path];
            wrapped.extend(args);
            hook["path"] = json!(own);
            hook["args"] = wrapped.into();
        }
    }
    Ok(())
}

/// Becomes the hook, with the state on stdin that it expects. Returns only on
/// failure.
///
/// # Errors
/// When there is no state on stdin, or the hook cannot be executed.
pub fn run(hook: &Hook) -> Result<Infallible, HookError> {
    let source = match state(&hook.bundle) {
        Ok(state) => {
            let mut command = Command::new(&hook.path);
            if let Some((name, args)) = hook.args.split_first() {
                command.arg0(name).args(args);
            }
            command.stdin(state).exec()
        }
        Err(e) => e,
    };
    Err(HookError::Run {
        path: hook.path.clone(),
        source,
    })
}

/// The state on stdin, with `bundle` in it, as a file to be read.
fn state(bundle: &Path) -> io::Result<File> {
    let mut state: Value = serde_json::from_reader(io::stdin())?;
    state["bundle"] = json!(bundle);
    if state["pid"].is_null() {
        // createContainer's: libcontainer runs it in the container's init process.
        state["pid"] = json!(getppid().as_raw());
    }
    let mut file = File::from(memfd_create(c"state", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(state.to_string().as_bytes())?;
    file.rewind()?;
    Ok(file)
}
