//! Message-signalled interrupts (PCI Local Bus Specification 3.0, section 6.8.2): a table of
//! messages that the driver fills, and which of them are pending.

/// The message control: MSI-X is on; all messages are masked. The table's size stays.
pub(super) const WRITABLE_CONTROL: u16 = ENABLE | FUNCTION_MASK;
const ENABLE: u16 = 1 << 15;
const FUNCTION_MASK: u16 = 1 << 14;

/// Bytes of an entry: the message's address and data, and its own mask in the last word.
const ENTRY: usize = 16;
const MASKED: u32 = 1;

/// Messages go to local APICs (Intel SDM volume 3, section 11.11.1).
const APICS: u64 = 0xfee0_0000;
const APICS_END: u64 = 0xff00_0000;

/// A message: its guest-physical address, and its data.
pub(super) type MsiMessage = (u64, u32);

pub(super) struct MsixTable {
    control: u16,
    /// Words as the driver has written them.
    entries: Vec<[u32; ENTRY / 4]>,
    pending: u64,
}

impl MsixTable {
    /// Of so many messages, 64 at most. All are masked.
    pub(super) fn new(messages: usize) -> MsixTable {
        MsixTable {
            control: 0,
            entries: vec![[0, 0, 0, MASKED]; messages],
            pending: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.control & ENABLE != 0
    }

    /// The driver has written the message control; gives what is to be sent now.
    pub(super) fn set_control(&mut self, control: u16) -> Vec<MsiMessage> {
        self.control = control & WRITABLE_CONTROL;
        self.take_pending()
    }

    /// Gives message `index` to be sent, or keeps it until it is no longer masked.
    pub(super) fn send(&mut self, index: usize) -> Option<MsiMessage> {
        let message = self.message(index)?;
        if self.is_masked(index) {
            self.pending |= 1 << index;
            return None;
        }
        message
    }

    /// Nothing is pending any more.
    pub(super) fn clear_pending(&mut self) {
        self.pending = 0;
    }

    /// Reads the table.
    pub(super) fn read(&self, at: usize, data: &mut [u8]) {
        let bytes = self.entries.as_flattened().iter();
        let bytes = bytes.flat_map(|word| word.to_le_bytes());
        copy(bytes.skip(at), data);
    }

    /// Reads the bits of the pending ones.
    pub(super) fn read_pending(&self, at: usize, data: &mut [u8]) {
        copy(self.pending.to_le_bytes().into_iter().skip(at), data);
    }

    /// Writes the table, by whole words; gives what is to be sent now.
    pub(super) fn write(&mut self, at: usize, data: &[u8]) -> Vec<MsiMessage> {
        let (words, rest) = data.as_chunks();
        if rest.is_empty() && at.is_multiple_of(4) {
            let entries = self.entries.as_flattened_mut();
            for (word, value) in entries.iter_mut().skip(at / 4).zip(words) {
                *word = u32::from_le_bytes(*value);
            }
        }
        self.take_pending()
    }

    /// What waited and need not any longer.
    fn take_pending(&mut self) -> Vec<MsiMessage> {
        let messages = 0..self.entries.len();
        let free: Vec<usize> = messages
            .filter(|index| self.pending & 1 << index != 0 && !self.is_masked(*index))
            .collect();
        for index in &free {
            self.pending &= !(1 << index);
        }
        let sent = free.into_iter().filter_map(|index| self.message(index)?);
        sent.collect()
    }

    fn is_masked(&self, index: usize) -> bool {
        let entry = self.entries.get(index);
        !self.is_enabled()
            || self.control & FUNCTION_MASK != 0
            || entry.is_none_or(|entry| entry[3] & MASKED != 0)
    }

    /// Message `index`, if there is one; and in it nothing, where it does not go to an APIC.
    fn message(&self, index: usize) -> Option<Option<MsiMessage>> {
        let [low, high, data, _] = *self.entries.get(index)?;
        let address = u64::from(high) << 32 | u64::from(low);
        let is_apics = (APICS..APICS_END).contains(&u64::from(low));
        // KVM takes the upper half for more of the APIC's ID.
        Some(is_apics.then_some((address, data)))
    }
}

/// Copies what there is; behind it there are zeros.
fn copy(bytes: impl Iterator<Item = u8>, data: &mut [u8]) {
    data.fill(0);
    for (byte, value) in data.iter_mut().zip(bytes) {
        *byte = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: u16 = ENABLE;

    fn table() -> MsixTable {
        let mut table = MsixTable::new(3);
        for (index, data) in (0..).zip([0x41u32, 0x42, 0x43]) {
            assert_eq!(table.write(16 * index, &0xfee0_1000u32.to_le_bytes()), []);
            assert_eq!(table.write(16 * index + 8, &data.to_le_bytes()), []);
        }
        table
    }

    fn unmask(table: &mut MsixTable, index: usize) -> Vec<MsiMessage> {
        table.write(16 * index + 12, &[0; 4])
    }

    #[test]
    fn a_message_waits_while_it_is_masked() {
        let mut table = table();
        assert_eq!(table.set_control(ON), []);
        assert_eq!(table.send(1), None, "masked from the beginning");
        assert_eq!(unmask(&mut table, 0), []);
        let mut pending = [0xff; 8];
        table.read_pending(0, &mut pending);
        assert_eq!(u64::from_le_bytes(pending), 2);
        assert_eq!(unmask(&mut table, 1), [(0xfee0_1000, 0x42)]);
        assert_eq!(unmask(&mut table, 1), [], "once");
        assert_eq!(table.send(1), Some((0xfee0_1000, 0x42)));
        // All of them, by the function's mask.
        assert_eq!(table.set_control(ON | FUNCTION_MASK), []);
        assert_eq!((table.send(0), table.send(1)), (None, None));
        assert_eq!(table.set_control(ON).len(), 2);
    }

    #[test]
    fn what_was_reset_is_not_pending() {
        let mut table = table();
        table.set_control(ON);
        assert_eq!(table.send(1), None);
        table.clear_pending();
        assert_eq!(unmask(&mut table, 1), []);
    }

    #[test]
    fn no_message_goes_where_no_apic_is() {
        let mut table = table();
        table.set_control(ON);
        unmask(&mut table, 0);
        for address in [0u32, 0x1000, 0xfed0_0000, 0xff00_0000] {
            table.write(0, &address.to_le_bytes());
            assert_eq!(table.send(0), None, "{address:#x}");
        }
        assert_eq!(table.send(3), None, "there is none");
        assert_eq!(table.send(usize::MAX), None);
    }

    #[test]
    fn the_table_is_read_and_written_by_words() {
        let mut table = table();
        table.write(20, &[1, 2, 3, 4, 5, 6, 7, 8]);
        let mut data = [0; 12];
        table.read(16, &mut data);
        assert_eq!(data, [0, 0x10, 0xe0, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8]);
        for (at, data) in [
            (20, &[9u8][..]),
            (21, &[9; 4]),
            (48, &[9; 8]),
            (4000, &[9; 4]),
        ] {
            table.write(at, data);
        }
        table.read(20, &mut data[..1]);
        assert_eq!(data[0], 1);
        table.read(4000, &mut data);
        assert_eq!(data, [0; 12]);
    }
}
