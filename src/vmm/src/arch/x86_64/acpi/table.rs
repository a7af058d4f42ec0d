//! Tables with the common header (ACPI specification 6.5, section 5.2.6), and what is appended to
//! them.

use acpi_tables::Aml;
use acpi_tables::sdt::Sdt;

pub(super) const OEM_ID: [u8; 6] = *b"RUNU  ";
pub(super) const OEM_TABLE_ID: [u8; 8] = *b"RUNUMACH";
pub(super) const OEM_REVISION: u32 = 1;

/// Bytes that are AML already.
pub(super) struct Raw(pub Vec<u8>);

impl Aml for Raw {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        sink.vec(&self.0);
    }
}

/// A table with this signature and revision, of `len` bytes, the header's 36 among them.
pub(super) fn new_table(signature: [u8; 4], len: u32, revision: u8) -> Sdt {
    Sdt::new(signature, len, revision, OEM_ID, OEM_TABLE_ID, OEM_REVISION)
}

pub(super) fn append(table: &mut Sdt, item: &dyn Aml) {
    let mut bytes = Vec::new();
    item.to_aml_bytes(&mut bytes);
    table.append_slice(&bytes);
}
