//! The types of T-messages; an R-message's is one more.
//!
//! Source: Linux's include/net/9p/9p.h, `enum p9_msg_t`.

pub(crate) const TSTATFS: u8 = 8;
pub(crate) const TLOPEN: u8 = 12;
pub(crate) const TLCREATE: u8 = 14;
pub(crate) const TSYMLINK: u8 = 16;
pub(crate) const TMKNOD: u8 = 18;
pub(crate) const TRENAME: u8 = 20;
pub(crate) const TREADLINK: u8 = 22;
pub(crate) const TGETATTR: u8 = 24;
pub(crate) const TSETATTR: u8 = 26;
pub(crate) const TREADDIR: u8 = 40;
pub(crate) const TFSYNC: u8 = 50;
pub(crate) const TLOCK: u8 = 52;
pub(crate) const TGETLOCK: u8 = 54;
pub(crate) const TLINK: u8 = 70;
pub(crate) const TMKDIR: u8 = 72;
pub(crate) const TRENAMEAT: u8 = 74;
pub(crate) const TUNLINKAT: u8 = 76;
pub(crate) const TVERSION: u8 = 100;
pub(crate) const TATTACH: u8 = 104;
pub(crate) const TFLUSH: u8 = 108;
pub(crate) const TWALK: u8 = 110;
pub(crate) const TREAD: u8 = 116;
pub(crate) const TWRITE: u8 = 118;
pub(crate) const TCLUNK: u8 = 120;
pub(crate) const TREMOVE: u8 = 122;
