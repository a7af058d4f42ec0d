//! What of the host a guest uses, each in one file.

pub(in crate::lifecycle) mod files;
pub(in crate::lifecycle) mod network;
pub(in crate::lifecycle) mod root_disk;
pub(in crate::lifecycle) mod tree;
pub(in crate::lifecycle) mod virtiofsd;
pub(in crate::lifecycle) mod vsock;
