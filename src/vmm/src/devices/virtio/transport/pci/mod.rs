//! The transport over PCI (virtio 1.2, section 4.1): a function with the legacy interface in
//! ports and the modern one in memory, as far as its type is older than the latter.
//!
//! | module | what is in it |
//! |---|---|
//! | [`function`] | the function itself |
//! | [`registers`] | what both interfaces set up |
//! | [`capabilities`] | what the configuration space says of the function |
//! | [`modern`] | the registers in memory |
//! | [`legacy`] | the registers in ports |
//! | [`interrupts`] | the pin, the messages, and the isr |
//! | [`msix`] | the table of messages |

mod capabilities;
pub(crate) mod function;
mod interrupts;
mod legacy;
mod modern;
mod msix;
mod registers;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
