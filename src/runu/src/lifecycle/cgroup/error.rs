//! What can go wrong with a container's cgroup.

use std::io;
use std::path::PathBuf;

use libcgroups::common::{AnyManagerError, CreateCgroupSetupError};

use crate::lifecycle::cgroup::dbus::DbusError;
use crate::lifecycle::libcontainer_errors::config_key::config_key;
use crate::lifecycle::libcontainer_errors::libcgroups_errors;

/// One line each, with the cgroup or the key of config.json, and the cure.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum CgroupError {
    /// In runc's words.
    #[error(
        "systemd cgroup flag passed, but systemd support for managing cgroups is not available: leave --systemd-cgroup out"
    )]
    NoSystemd,
    #[error(
        "a unikernel under --systemd-cgroup needs cgroups v2: leave the flag out, or boot with systemd.unified_cgroup_hierarchy=1"
    )]
    NeedsV2,
    /// In runc's words, for those who look for them.
    #[error(
        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"{}\" instead",
        path.display()
    )]
    ScopePath { path: PathBuf },
    #[error(
        "linux.cgroupsPath {path:?} is not a cgroup of the container's own: write /PARENT/NAME"
    )]
    Shared { path: PathBuf },
    #[error(
        "cgroup {} has {count} processes in it: give the container one of its own (linux.cgroupsPath)",
        path.display()
    )]
    Occupied { path: PathBuf, count: usize },
    /// The container is in its caller's cgroup.
    #[error(
        "it is in no cgroup {}, as its caller may make none: create it with --systemd-cgroup, or as root",
        own.display()
    )]
    NotInOwn { own: PathBuf },
    #[error("the container has no cgroup")]
    None,
    #[error(transparent)]
    Dbus(#[from] DbusError),
    #[error(transparent)]
    Setup(#[from] Box<CreateCgroupSetupError>),
    #[error("cgroup {}", path.display())]
    Remove {
        path: PathBuf,
        source: Box<AnyManagerError>,
    },
    /// libcgroups says no more than its debug text has.
    #[error("{}", libcgroups_errors::describe(&format!("{why:?}")))]
    Limits { why: Box<AnyManagerError> },
    #[error("linux.resources.unified: {file:?} is no file name: take the slashes out")]
    UnifiedKey { file: String },
    /// A limit that is written past systemd.
    #[error("{}: cannot write {value:?} to its cgroup's {file}", config_key(file))]
    Write {
        file: String,
        value: String,
        source: io::Error,
    },
    /// /proc or a file of the cgroup.
    #[error(transparent)]
    Io(#[from] io::Error),
}
