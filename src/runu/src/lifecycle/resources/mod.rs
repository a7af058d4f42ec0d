//! What of the host's a guest uses, each with one shape: [`resource::Resource`].
//!
//! | file | what it is | prepare | start | undo |
//! |---|---|---|---|---|
//! | [`scope_limits`] | limits that libcontainer does not set | | written | |
//! | [`virtiofsd`] | the server of the guest's files | checked | run | |
//! | [`root_disk`] | the rootfs's own device as a disk | taken | | put back, or cleared |
//! | [`cgroup`] | the container's cgroup | | | removed |
//! | [`vsock`] | the socket of the guest's ports | | | removed |
//! | [`network`] | the tap in the pod's network | | attached | detached |
//!
//! What is empty there is somebody else's work: libcontainer makes the cgroup, the monitor binds
//! the socket, virtiofsd ends with the monitor. [`boot_files`] is what a monitor boots, open files
//! that nobody has to take away. [`list`] holds the order.

pub(in crate::lifecycle) mod boot_files;
mod cgroup;
pub(in crate::lifecycle) mod error;
mod list;
pub(in crate::lifecycle) mod network;
mod resource;
mod root_disk;
mod scope_limits;
mod virtiofsd;
pub(in crate::lifecycle) mod vsock;

pub(in crate::lifecycle) use list::{CreateInputs, Resources};
pub(in crate::lifecycle) use resource::Resource;
