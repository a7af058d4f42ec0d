//! A PC's small devices, at ports that never move.
//!
//! | module | what is in it |
//! |---|---|
//! | [`serial`] | COM1 |
//! | [`pc`] | the devices that answer at once, behind one lock: those that follow |
//! | [`cmos`] | the clock |
//! | [`i8042`], [`keyboard`] | the keyboard controller, and what is plugged into it |
//! | [`power`] | ACPI's power button and the way to switch off |
//! | [`debug_exit`] | ports by which guests say that they are done |

mod cmos;
pub(crate) mod debug_exit;
pub(crate) mod i8042;
mod keyboard;
pub(crate) mod pc;
pub(crate) mod power;
pub(crate) mod serial;
