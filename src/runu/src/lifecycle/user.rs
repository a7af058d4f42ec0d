//! Whose call it is: the machine's root's or another user's.

use std::env;
use std::fs;
use std::path::PathBuf;

use nix::unistd::geteuid;

/// `/proc/self/uid_map` outside of all user namespaces: user_namespaces(7).
const ALL_USERS: [&str; 3] = ["0", "0", "4294967295"];

/// The directory for what a user runs, where the call is not of the machine's root: then
/// runc has its state below `$XDG_RUNTIME_DIR`.
///
/// In a user namespace, where rootless podman calls, the user is root, and only the
/// variable USER tells one who made himself root there from a container's root (runc
/// 1.1, `shouldHonorXDGRuntimeDir`).
pub(in crate::lifecycle) fn runtime_dir() -> Option<PathBuf> {
    let dir = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty())?;
    let is_theirs = !geteuid().is_root()
        || in_user_namespace() && env::var_os("USER").is_none_or(|user| user != "root");
    is_theirs.then(|| dir.into())
}

/// Where crun 1.8 has its state when it is given no `--root` (`get_run_directory`).
pub(in crate::lifecycle) fn crun_state_dir() -> PathBuf {
    let dir = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    dir.map_or_else(|| "/run".into(), PathBuf::from)
        .join("crun")
}

/// Whether the call is of root outside of all user namespaces.
pub(in crate::lifecycle) fn is_host_root() -> bool {
    geteuid().is_root() && !in_user_namespace()
}

fn in_user_namespace() -> bool {
    // A kernel without user namespaces has no such file.
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.is_empty() && !map.split_whitespace().eq(ALL_USERS)
}
