//! A guest's files by virtiofsd: the process beside the monitor, from `create` to the end.

mod harness;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// A bundle of a guest that waits, whose files virtiofsd is to serve.
fn bundle(id: &str) -> Bundle {
    Bundle::unikernel(id, "hello", "pvh", &["hello", "wait"]).annotate("runu.dev/rootfs", "virtiofs")
}
