//! x86-64: a PC as far as unikernels look for one.
//!
//! | module | what is in it |
//! |---|---|
//! | [`layout`] | where things lie in the guest's physical memory |
//! | [`ports`] | I/O ports and interrupt lines |
//! | [`tables`] | descriptor and page tables |
//! | [`registers`] | a vCPU's registers and MSRs at the kernel's first instruction |
//! | [`cpuid`], [`topology`] | what a processor claims to be, and which of several |
//! | [`interrupts`] | the 8259s, the I/O APIC and the local APICs, which KVM emulates |
//! | [`timer`] | the 8254, likewise |
//! | [`acpi`] | the tables that tell a guest of processors, interrupts and devices |
//! | [`probe`] | two instructions by which a KVM shows how it runs guests |

pub(crate) mod acpi;
pub(crate) mod cpuid;
pub(crate) mod interrupts;
pub(crate) mod layout;
pub(crate) mod ports;
pub(crate) mod probe;
pub(crate) mod registers;
pub(crate) mod tables;
pub(crate) mod timer;
pub(crate) mod topology;
