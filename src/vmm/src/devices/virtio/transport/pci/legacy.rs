//! The legacy interface (virtio 1.2, section 4.1.4.10).

use super::interrupts::{CONFIG_VECTOR, FIRST_QUEUE_VECTOR};
use super::registers::{LEGACY_QUEUE_NOTIFY, Registers};
use crate::bits::low;
use crate::devices::virtio::transport::interface::Interface;

/// Offsets.
const DEVICE_FEATURES: usize = 0;
const DRIVER_FEATURES: usize = 4;
const QUEUE_ADDRESS: usize = 8;
const QUEUE_SIZE: usize = 12;
const QUEUE_SELECT: usize = 14;
const QUEUE_NOTIFY: usize = LEGACY_QUEUE_NOTIFY as usize;
const DEVICE_STATUS: usize = 18;
pub(super) const ISR: usize = 19;
/// With MSI-X only; without, the device's own configuration begins here.
const CONFIG_MSIX_VECTOR: usize = 20;
const QUEUE_MSIX_VECTOR: usize = 22;
const END: usize = 24;

/// What a queue's address counts, and how its used ring is aligned: 4 KiB.
const PAGE_SHIFT: u32 = 12;

impl Registers {
    /// Reads from `offset` on, but for the interrupt's isr.
    pub(super) fn read_legacy(&self, offset: usize, data: &mut [u8]) {
        let (bytes, end) = (self.header(), self.end_of_header());
        let of_header = end.saturating_sub(offset).min(data.len());
        let (header, config) = data.split_at_mut(of_header);
        for (at, byte) in (offset..).zip(header) {
            *byte = bytes[at];
        }
        if !config.is_empty() {
            let at = offset + of_header - end;
            self.core.read_config(at, config);
        }
    }

    /// Writes a field, whole.
    pub(super) fn write_legacy(&mut self, offset: usize, data: &[u8]) {
        if offset >= self.end_of_header() {
            return;
        }
        match data {
            [a, b, c, d] => self.write_legacy_u32(offset, u32::from_le_bytes([*a, *b, *c, *d])),
            [a, b] => self.write_legacy_u16(offset, u16::from_le_bytes([*a, *b])),
            [status] if offset == DEVICE_STATUS => {
                self.set_status(Interface::Legacy, (*status).into());
            }
            _ => {}
        }
    }

    fn header(&self) -> [u8; END] {
        let mut bytes = [0; END];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        let core = &self.core;
        let offered = core.device_features(Interface::Legacy, 0);
        put(DEVICE_FEATURES, &offered.to_le_bytes());
        put(DRIVER_FEATURES, &core.driver_features(0).to_le_bytes());
        put(QUEUE_SELECT, &self.queue_select.to_le_bytes());
        put(DEVICE_STATUS, &[(core.status() & 0xff) as u8]);
        let vector = |what| self.interrupts.vector(what).to_le_bytes();
        put(CONFIG_MSIX_VECTOR, &vector(CONFIG_VECTOR));
        put(
            QUEUE_MSIX_VECTOR,
            &vector(FIRST_QUEUE_VECTOR + self.queue()),
        );
        if let Some(queue) = core.queue(self.queue()) {
            let address = match queue.ready {
                // It came from a u32.
                true => low(queue.desc_table >> PAGE_SHIFT),
                false => 0,
            };
            put(QUEUE_ADDRESS, &address.to_le_bytes());
            put(QUEUE_SIZE, &queue.max.to_le_bytes());
        }
        bytes
    }

    fn end_of_header(&self) -> usize {
        match self.interrupts.is_msix_enabled() {
            true => END,
            false => CONFIG_MSIX_VECTOR,
        }
    }

    fn write_legacy_u32(&mut self, offset: usize, value: u32) {
        match offset {
            DRIVER_FEATURES => self.core.set_driver_features(Interface::Legacy, 0, value),
            QUEUE_ADDRESS if value == 0 => self.core.disable_queue(self.queue()),
            QUEUE_ADDRESS => {
                if let Some(queue) = self.core.queue_mut(Interface::Legacy, self.queue()) {
                    queue.size = queue.max;
                    queue.set_legacy_address(u64::from(value) << PAGE_SHIFT, 1 << PAGE_SHIFT);
                }
            }
            _ => {}
        }
    }

    fn write_legacy_u16(&mut self, offset: usize, value: u16) {
        match offset {
            QUEUE_SELECT => self.queue_select = value,
            QUEUE_NOTIFY => self.core.notify(value.into()),
            CONFIG_MSIX_VECTOR => self.interrupts.set_vector(CONFIG_VECTOR, value),
            QUEUE_MSIX_VECTOR => {
                let what = FIRST_QUEUE_VECTOR + self.queue();
                self.interrupts.set_vector(what, value);
            }
            _ => {}
        }
    }
}
