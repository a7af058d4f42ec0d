//! What a `create` or `run` of a unikernel is made from.

use std::path::PathBuf;

use crate::cli::{Create, Globals};
use bundle::Bundle;
use decision::facts;
use decision::plan::Plan;

/// All that making a unikernel takes.
pub struct Request<'a> {
    pub globals: &'a Globals,
    pub args: &'a Create,
    pub bundle: &'a Bundle,
    pub rule: Option<String>,
    pub plan: Plan,
    /// The decision as `runu explain` has it, to be kept.
    pub explanation: String,
    /// The files that were judged; `create` takes them.
    pub files: facts::Files,
    /// The program that serves the guest's files, where the plan has a tag for them.
    pub virtiofsd: Option<PathBuf>,
}

impl Request<'_> {
    /// Where the rootfs is: what config.json says may be `.` or `..`.
    pub(in crate::lifecycle) fn rootfs(&self) -> PathBuf {
        let path = self.bundle.rootfs_path().unwrap_or_default();
        path.canonicalize().unwrap_or(path)
    }
}
