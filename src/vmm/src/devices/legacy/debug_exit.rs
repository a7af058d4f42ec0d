//! Ports by which guests say that they are done. Each family of guests has its own.

use crate::exit::{Crash, GuestExit};

pub(crate) use crate::arch::ports::{DEBUG_EXIT, HERMIT_EXIT, PVPANIC};
/// What it says that it takes: that the guest panicked.
pub(crate) const PVPANIC_EVENTS: u8 = PVPANIC_PANICKED;

const UNIKRAFT_OK: u16 = 41;
const HERMIT_FAILED: u32 = 0;
const HERMIT_OK: u32 = 1;
const PVPANIC_PANICKED: u8 = 1 << 0;

/// What a write of `data` to `port` says about the guest's end, if anything.
pub(crate) fn write(port: u16, data: &[u8]) -> Option<GuestExit> {
    match (port, data) {
        (DEBUG_EXIT, [code]) => Some(GuestExit::Code(*code)),
        (DEBUG_EXIT, [low, high]) => Some(match u16::from_le_bytes([*low, *high]) {
            UNIKRAFT_OK => GuestExit::PoweredOff,
            _ => reported("port 0x501"),
        }),
        (HERMIT_EXIT, [a, b, c, d]) => Some(match u32::from_le_bytes([*a, *b, *c, *d]) {
            HERMIT_OK => GuestExit::Code(0),
            HERMIT_FAILED => GuestExit::Code(1),
            _ => reported("port 0xf4"),
        }),
        (PVPANIC, [events, ..]) if events & PVPANIC_PANICKED != 0 => Some(reported("pvpanic")),
        _ => None,
    }
}

fn reported(by: &'static str) -> GuestExit {
    GuestExit::Crashed(Crash::GuestReported { by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_accesses_mean_what_the_guests_mean_by_them() {
        let table: &[(u16, &[u8], Option<GuestExit>)] = &[
            (0x501, &[0], Some(GuestExit::Code(0))),
            (0x501, &[7], Some(GuestExit::Code(7))),
            (0x501, &[255], Some(GuestExit::Code(255))),
            (0x501, &[41, 0], Some(GuestExit::PoweredOff)),
            (0x501, &[42, 0], Some(reported("port 0x501"))),
            // Solo5's walltime call where it is not a Solo5 guest: nothing.
            (0x501, &[1, 0, 0, 0], None),
            (0xf4, &[1, 0, 0, 0], Some(GuestExit::Code(0))),
            (0xf4, &[0, 0, 0, 0], Some(GuestExit::Code(1))),
            (0xf4, &[2, 0, 0, 0], Some(reported("port 0xf4"))),
            (0xf4, &[1], None),
            (0x505, &[1], Some(reported("pvpanic"))),
            (0x505, &[2], None),
            (0x80, &[1], None),
        ];
        for (port, data, exit) in table {
            assert_eq!(write(*port, data), *exit, "port {port:#x}, {data:?}");
        }
    }
}
