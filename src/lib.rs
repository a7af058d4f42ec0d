//! placeholder

pub mod vmm;
