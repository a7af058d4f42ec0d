//! One container of a pod: what it is made of, and what it says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{api, poll};
use crate::images;

/// A container to create.
#[derive(Clone)]
pub struct ContainerSpec<'a> {
    pub name: &'a str,
    pub image: String,
    /// In place of the image's entrypoint; empty to keep it.
    pub command: &'a [&'a str],
    /// In place of the image's `Cmd`; empty to keep it.
    pub args: &'a [&'a str],
    /// Bytes; 0 for none.
    pub memory_limit: i64,
    /// The higher, the sooner the kernel ends it for want of memory.
    pub oom_score_adj: i64,
    /// Whether its stdio is a terminal.
    pub tty: bool,
    pub mounts: &'a [Mount<'a>],
}

/// A directory or file of the node's in a container, as the kubelet lays a volume in.
pub struct Mount<'a> {
    pub from: &'a Path,
    pub to: &'a str,
    pub read_only: bool,
}

impl From<&Mount<'_>> for api::Mount {
    fn from(mount: &Mount<'_>) -> Self {
        api::Mount {
            container_path: mount.to.to_owned(),
            host_path: mount.from.display().to_string(),
            readonly: mount.read_only,
        }
    }
}

impl Default for ContainerSpec<'_> {
    fn default() -> Self {
        ContainerSpec {
            name: "sidecar",
            image: images::BUSYBOX.to_owned(),
            command: &[],
            args: &[],
            memory_limit: 0,
            oom_score_adj: 0,
            tty: false,
            mounts: &[],
        }
    }
}

/// A container that was created.
pub struct Container {
    pub id: String,
    pub(super) log: PathBuf,
}

impl Container {
    /// What the container has said so far on `stream` (`stdout`, `stderr`),
    /// from its CRI log file: lines of `TIME STREAM F|P TEXT`, P where the
    /// line goes on.
    pub fn log(&self, stream: &str) -> io::Result<String> {
        let mut said = String::new();
        for line in fs::read_to_string(&self.log)?.lines() {
            let mut fields = line.splitn(4, ' ').skip(1);
            if let (Some(of), Some(tag), Some(text)) = (fields.next(), fields.next(), fields.next())
                && of == stream
            {
                said.push_str(text);
                said.push_str(if tag == "P" { "" } else { "\n" });
            }
        }
        Ok(said)
    }

    /// Waits until the container has said `text`; the whole of it is the error otherwise.
    pub fn wait_log(&self, stream: &str, text: &str) -> Result<String, String> {
        let read = || self.log(stream).unwrap_or_default();
        poll(Duration::from_secs(20), || {
            Some(read()).filter(|said| said.contains(text))
        })
        .ok_or_else(|| format!("{} has no {text:?}:\n{}", self.log.display(), read()))
    }
}
