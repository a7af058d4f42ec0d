//! The devices (virtio 1.2, section 5).
//!
//! | module | what is in it |
//! |---|---|
//! | [`net`] | the network device |
//! | [`block`] | the block device |
//! | [`console`] | the console device |
//! | [`p9`] | a tree of files, by 9P |
//! | [`fs`] | a tree of files, by a vhost-user back end |
//! | [`vhost_user`] | the connection with the back end |
//! | [`rng`] | the entropy device |
//! | [`vsock`] | the socket device |

pub(crate) mod block;
pub(crate) mod console;
pub(crate) mod fs;
pub(crate) mod net;
pub(crate) mod p9;
pub(crate) mod rng;
pub(crate) mod vhost_user;
pub(crate) mod vsock;
