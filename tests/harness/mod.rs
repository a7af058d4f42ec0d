//! What the tests of several subjects share.
#![allow(dead_code)]

pub mod containerd;
pub mod images;
