//! What a node holds that has no name of its own, counted: files, memory, descriptors, threads,
//! and what of it could have strayed to the host.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::Containerd;
use super::census::cgroups_under;

/// How far containerd's own descriptors and threads go up and down by themselves.
const DAEMONS: u64 = 8;
/// How much memory the kernel now and then keeps for a group of processes, in bytes.
const MEMORY: u64 = 256 << 10;

/// How much there is of each, and how much more of it is no sign of anything.
#[derive(Clone, Debug)]
pub struct Tally(BTreeMap<String, (u64, u64)>);

impl Containerd {
    /// Counts what a caller and a runtime could hold on to, when nothing runs.
    pub fn tally(&self) -> io::Result<Tally> {
        let run = statvfs(&self.node.path("/run"))?;
        let daemon = PathBuf::from(format!("/proc/{}", self.pid_of_daemon()?));
        let dir = self.node.dir().to_string_lossy().into_owned();
        let mut tally = BTreeMap::from([
            ("blocks in /run", (run.blocks() - run.blocks_free(), 0)),
            ("files in /run", (run.files() - run.files_free(), 0)),
            (
                "containerd's descriptors",
                (entries(&daemon.join("fd"))?, DAEMONS),
            ),
            (
                "containerd's threads",
                (entries(&daemon.join("task"))?, DAEMONS),
            ),
            (
                "mounts of the host's",
                (lines("/proc/self/mountinfo", &dir)?, 0),
            ),
            (
                "devices of the host's",
                (lines("/proc/self/net/dev", "runu")?, 0),
            ),
            ("bytes of the pods' memory", (0, MEMORY)),
        ]);
        for cgroup in cgroups_under(self.node.cgroup()) {
            if let Some(bytes) = tally.get_mut("bytes of the pods' memory") {
                bytes.0 += charged(&cgroup)?;
            }
        }
        let named = tally
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count));
        Ok(Tally(named.collect()))
    }

    /// Waits until there is no more of anything than `before`; panics with what there is.
    #[track_caller]
    pub fn assert_no_more_than(&self, before: &Tally) {
        let mut more = Vec::new();
        let same = super::poll(std::time::Duration::from_secs(10), || {
            more = self.tally().expect("a tally").more_than(before);
            more.is_empty().then_some(())
        });
        assert!(same.is_some(), "left behind:\n{}", more.join("\n"));
    }
}

impl Tally {
    /// What there is more of than `before`, one a line.
    pub fn more_than(&self, before: &Tally) -> Vec<String> {
        let pairs = self.0.iter().map(|(name, now)| (name, before.0[name], now));
        pairs
            .filter(|(_, (then, play), (now, _))| *now > then + play)
            .map(|(name, (then, _), (now, _))| format!("{name}: {then} before, {now} after"))
            .collect()
    }
}

/// What is charged to a cgroup, in bytes, when the kernel has given back what it can.
fn charged(cgroup: &Path) -> io::Result<u64> {
    let usage = ["memory.usage_in_bytes", "memory.current"].map(|name| cgroup.join(name));
    let Some(usage) = usage.into_iter().find(|file| file.exists()) else {
        return Ok(0); // another controller's
    };
    // cgroups v1's and v2's; the kernel refuses where there is nothing to give back.
    let _ = fs::write(cgroup.join("memory.force_empty"), "0");
    let _ = fs::write(cgroup.join("memory.reclaim"), "1G");
    let bytes = fs::read_to_string(&usage)?;
    bytes.trim().parse().map_err(io::Error::other)
}

fn entries(dir: &Path) -> io::Result<u64> {
    Ok(fs::read_dir(dir)?.count() as u64)
}

/// How many lines of a file have this word.
fn lines(file: &str, word: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    Ok(text.lines().filter(|line| line.contains(word)).count() as u64)
}
