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
    /// One of them is started only with a monitor that lives.
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
        inputs: CreateInputs,
    ) -> Self {
        let need_monitor = inputs.limits.is_some() || inputs.virtiofsd.is_some();
        let mut all: Vec<Box<dyn Resource>> = Vec::new();
        if let Some(limits) = inputs.limits {
            all.push(Box::new(LimitsByFile(limits)));
        }
        if let (Some(program), Some(tag)) = (inputs.virtiofsd, &record.plan.virtiofs) {
            all.push(Box::new(Virtiofsd::new(program, tag, entry, inputs.config)));
        }
        // Last of what is prepared, when nothing has the rootfs in use any more.
        if let Some(disk) = RootDisk::planned(record, inputs.root_disk) {
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

    /// Whether one of them is started only with a monitor that lives.
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::lifecycle::cgroup::error::CgroupError;

    /// Writes down what is done with it; fails at what it is told to fail at.
    struct Fake {
        name: &'static str,
        fails_at: &'static str,
        calls: Rc<RefCell<Vec<String>>>,
    }

    impl Fake {
        fn call(&self, step: &str) -> Result<(), ResourceError> {
            self.calls
                .borrow_mut()
                .push(format!("{step} {}", self.name));
            match self.fails_at == step {
                true => Err(CgroupError::None.into()),
                false => Ok(()),
            }
        }
    }

    impl Resource for Fake {
        fn prepare(&mut self, _: &mut Files) -> Result<(), ResourceError> {
            self.call("prepare")
        }
        fn undo(&mut self) -> Result<(), ResourceError> {
            self.call("undo")
        }
    }

    /// Resources a, b and c, of which b fails at a step, and what is called.
    fn abc(fails_at: &'static str) -> (Resources, Rc<RefCell<Vec<String>>>) {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let fake = |name| -> Box<dyn Resource> {
            Box::new(Fake {
                name,
                fails_at: if name == "b" { fails_at } else { "" },
                calls: calls.clone(),
            })
        };
        let all = ["a", "b", "c"].map(fake).into();
        let need_monitor = false;
        (Resources { all, need_monitor }, calls)
    }

    fn no_files() -> Files {
        let null = || File::open("/dev/null").unwrap();
        Files {
            kvm: null(),
            kernel: null(),
            initrd: None,
            root: None,
            blocks: Vec::new(),
            shares: Vec::new(),
            served: Vec::new(),
            vsock: None,
        }
    }

    #[test]
    fn what_was_prepared_is_undone_where_the_next_fails() {
        let (mut resources, calls) = abc("prepare");
        assert!(resources.prepare(&mut no_files()).is_err());
        assert_eq!(*calls.borrow(), ["prepare a", "prepare b", "undo a"]);
    }

    #[test]
    fn undoing_goes_backwards() {
        let (mut resources, calls) = abc("undo");
        resources.roll_back();
        assert_eq!(*calls.borrow(), ["undo c", "undo b", "undo a"]);
        calls.borrow_mut().clear();
        // `delete` can be called again: what b stands on stays.
        assert!(resources.undo().is_err());
        assert_eq!(*calls.borrow(), ["undo c", "undo b"]);
    }
}
