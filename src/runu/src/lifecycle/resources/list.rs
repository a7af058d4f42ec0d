//! The resources of one container, in the order in which they are made.

use std::fs::File;
use std::path::PathBuf;

use serde_json::Value;

use crate::lifecycle::cgroup::Cgroup;
use crate::lifecycle::cgroup::systemd::ScopeLimits;
use crate::lifecycle::effective_config;
use crate::lifecycle::process::Process;
use crate::lifecycle::resources::cgroup::ContainerCgroup;
use crate::lifecycle::resources::error::ResourceError;
use crate::lifecycle::resources::network::Network;
use crate::lifecycle::resources::resource::Resource;
use crate::lifecycle::resources::root_disk::RootDisk;
use crate::lifecycle::resources::scope_limits::LimitsByFile;
use crate::lifecycle::resources::virtiofsd::Virtiofsd;
use crate::lifecycle::resources::vsock::GuestSocket;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::store::record::Record;
use vmm::Files;

/// They are made from the first to the last, and undone from the last to the first.
pub(in crate::lifecycle) struct Resources {
    all: Vec<Box<dyn Resource>>,
    need_monitor: bool,
}

/// What `create` has for them beside the record.
pub(in crate::lifecycle) struct CreateInputs {
    /// The limits that libcontainer does not set, under systemd's driver.
    pub limits: Option<ScopeLimits>,
    /// What the container is built from.
    pub config: Value,
    /// The program that is to serve the guest's files, if that is the plan.
    pub virtiofsd: Option<PathBuf>,
    /// The rootfs's device, open, if it is to be the guest's disk.
    pub root_disk: Option<File>,
}

impl Resources {
    /// Those of a container that is being made. Its network is not among them: `start` sees what
    /// there is.
    pub(in crate::lifecycle) fn to_make(
        entry: &Entry,
        record: &Record,
        given: CreateInputs,
    ) -> Self {
        let need_monitor = given.limits.is_some() || given.virtiofsd.is_some();
        let mut all: Vec<Box<dyn Resource>> = Vec::new();
        if let Some(limits) = given.limits {
            all.push(Box::new(LimitsByFile(limits)));
        }
        if let (Some(program), Some(tag)) = (given.virtiofsd, &record.plan.virtiofs) {
            all.push(Box::new(Virtiofsd::new(program, tag, entry, given.config)));
        }
        // Last of what is prepared, when nothing has the rootfs in use any more.
        if let Some(disk) = RootDisk::planned(record, given.root_disk) {
            all.push(Box::new(disk));
        }
        all.push(Box::new(ContainerCgroup(Cgroup::from(record))));
        if let Some(socket) = GuestSocket::of(entry, record) {
            all.push(Box::new(socket));
        }
        Self { all, need_monitor }
    }

    /// Those that a container has left, whose monitor is about to be ended: its network is found
    /// while that lives.
    pub(in crate::lifecycle) fn of(
        entry: &Entry,
        record: &Record,
        monitor: Option<Process>,
    ) -> Self {
        let mut all: Vec<Box<dyn Resource>> = Vec::new();
        if record.plan.root_disk().is_some() {
            all.push(Box::new(RootDisk::left(record.rootfs.clone())));
        }
        all.push(Box::new(ContainerCgroup(Cgroup::from(record))));
        if let Some(socket) = GuestSocket::of(entry, record) {
            all.push(Box::new(socket));
        }
        if record.plan.net.is_some() {
            all.push(Box::new(Network::left(entry, monitor)));
        }
        Self {
            all,
            need_monitor: false,
        }
    }

    /// Those of a container without a record, by the configuration that it was built from. What
    /// ends its processes is the removal of its cgroup, which therefore comes before the network.
    pub(in crate::lifecycle) fn without_record(entry: &Entry) -> Self {
        let mut all: Vec<Box<dyn Resource>> = Vec::new();
        if let Some(rootfs) = effective_config::rootfs(entry) {
            all.push(Box::new(RootDisk::left(rootfs)));
        }
        all.push(Box::new(Network::left(entry, None)));
        if let Some(cgroup) = effective_config::cgroup(entry) {
            all.push(Box::new(ContainerCgroup(cgroup)));
        }
        Self {
            all,
            need_monitor: false,
        }
    }

    /// Gets all of them ready, each with what the monitor is to have in `files`.
    ///
    /// # Errors
    /// The first one's that the guest cannot have; those before it are undone.
    pub(in crate::lifecycle) fn prepare(&mut self, files: &mut Files) -> Result<(), ResourceError> {
        for at in 0..self.all.len() {
            if let Err(error) = self.all[at].prepare(files) {
                roll_back(&mut self.all[..at]);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether one of them is of no use without a monitor that lives.
    pub(in crate::lifecycle) fn need_monitor(&self) -> bool {
        self.need_monitor
    }

    /// Brings all of them to the monitor.
    ///
    /// # Errors
    /// The first one's that the guest cannot have; [`Resources::roll_back`] is for the caller.
    pub(in crate::lifecycle) fn start(&mut self, monitor: Process) -> Result<(), ResourceError> {
        self.all.iter_mut().try_for_each(|one| one.start(monitor))
    }

    /// Undoes all that a failed `create` has made; its error is the one to tell.
    pub(in crate::lifecycle) fn roll_back(&mut self) {
        roll_back(&mut self.all);
    }

    /// Undoes all that a container has left.
    ///
    /// # Errors
    /// The first one's that cannot be undone; those that were made before it stay.
    pub(in crate::lifecycle) fn undo(&mut self) -> Result<(), ResourceError> {
        self.all.iter_mut().rev().try_for_each(|one| one.undo())
    }
}

fn roll_back(made: &mut [Box<dyn Resource>]) {
    for one in made.iter_mut().rev() {
        let _ = one.undo();
    }
}
