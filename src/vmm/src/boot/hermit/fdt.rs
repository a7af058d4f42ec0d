//! The device tree that Hermit's kernels are given (uhyve, fdt.rs; Devicetree specification
//! 0.4).

use vm_fdt::{Error, FdtReserveEntry, FdtWriter};

use crate::arch::layout::PAGE_SIZE;
use crate::boot::place::Placed;

/// What the tree tells.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// Guest-physical address and bytes of the machine's memory.
    pub memory: Placed,
    /// The kernel's arguments, `--`, the application's.
    pub cmdline: &'a str,
    pub initrd: Option<Placed>,
    pub tsc_khz: Option<u32>,
    /// The directories of the guest's whose files are the container's.
    pub mounts: &'a [String],
}

impl Tree<'_> {
    /// The tree as the kernel reads it.
    ///
    /// # Errors
    /// A command line with a zero byte.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Error> {
        let reserved = self
            .initrd
            .map(|initrd| {
                let len = initrd.size.next_multiple_of(PAGE_SIZE);
                FdtReserveEntry::new(initrd.gpa, len)
            })
            .transpose()?;
        let mut fdt = FdtWriter::new_with_mem_reserv(reserved.as_slice())?;
        let root = fdt.begin_node("")?;
        fdt.property_string("compatible", "hermit,uhyve")?;
        fdt.property_u32("#address-cells", 2)?;
        fdt.property_u32("#size-cells", 2)?;
        self.write_memory(&mut fdt)?;
        if !self.mounts.is_empty() {
            let mounts = fdt.begin_node("uhyve,mounts")?;
            fdt.property_string_list("mounts", self.mounts.to_vec())?;
            fdt.end_node(mounts)?;
        }
        write_cpu(&mut fdt)?;
        if let Some(khz) = self.tsc_khz {
            let tsc = fdt.begin_node("hermit,tsc")?;
            fdt.property_u32("khz", khz)?;
            fdt.end_node(tsc)?;
        }
        self.write_chosen(&mut fdt)?;
        fdt.end_node(root)?;
        fdt.finish()
    }

    fn write_memory(&self, fdt: &mut FdtWriter) -> Result<(), Error> {
        let Placed { gpa, size } = self.memory;
        let memory = fdt.begin_node(&format!("memory@{gpa:x}"))?;
        fdt.property_string("device_type", "memory")?;
        fdt.property_array_u64("reg", &[gpa, size])?;
        fdt.end_node(memory)
    }

    fn write_chosen(&self, fdt: &mut FdtWriter) -> Result<(), Error> {
        let chosen = fdt.begin_node("chosen")?;
        fdt.property_string("bootargs", self.cmdline)?;
        if let Some(Placed { gpa, size }) = self.initrd {
            fdt.property_u64("linux,initrd-start", gpa)?;
            fdt.property_u64("linux,initrd-end", gpa + size)?;
        }
        fdt.end_node(chosen)
    }
}

/// One processor, number 0.
fn write_cpu(fdt: &mut FdtWriter) -> Result<(), Error> {
    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    let cpu = fdt.begin_node("cpu@0")?;
    fdt.property_string("device_type", "cpu")?;
    fdt.end_node(cpu)?;
    fdt.end_node(cpus)
}
