//! How a kernel calls its monitor (uhyve-interface).

use crate::arch::ports::{hermit_v1, hermit_v2};

/// Version 1, or 2 and 3, which are alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Interface {
    #[default]
    V1,
    V2,
}

impl Interface {
    /// The port that is the kernel's console.
    pub(crate) fn console_port(self) -> u16 {
        match self {
            Interface::V1 => hermit_v1::UART,
            Interface::V2 => hermit_v2::SERIAL_BUFFER,
        }
    }
}
