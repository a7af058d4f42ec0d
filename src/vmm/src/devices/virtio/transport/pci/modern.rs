//! The common configuration (virtio 1.2, section 4.1.4.3).

use super::interrupts::{CONFIG_VECTOR, FIRST_QUEUE_VECTOR};
use super::registers::Registers;
use crate::bits::{high, join, low, number};
use crate::devices::virtio::transport::core::QueueConfig;
use crate::devices::virtio::transport::interface::Interface;

/// Offsets.
const DEVICE_FEATURE_SELECT: usize = 0;
const DEVICE_FEATURE: usize = 4;
const DRIVER_FEATURE_SELECT: usize = 8;
const DRIVER_FEATURE: usize = 12;
const CONFIG_MSIX_VECTOR: usize = 16;
const NUM_QUEUES: usize = 18;
const DEVICE_STATUS: usize = 20;
const CONFIG_GENERATION: usize = 21;
const QUEUE_SELECT: usize = 22;
const QUEUE_SIZE: usize = 24;
const QUEUE_MSIX_VECTOR: usize = 26;
const QUEUE_ENABLE: usize = 28;
const QUEUE_NOTIFY_OFF: usize = 30;
const QUEUE_DESC: usize = 32;
const QUEUE_DRIVER: usize = 40;
const QUEUE_DEVICE: usize = 48;
const END: usize = 56;

impl Registers {
    /// Reads from `offset` on; past the end there are zeros.
    pub(super) fn read_common(&self, offset: usize, data: &mut [u8]) {
        data.fill(0);
        let bytes = self.common();
        let found = bytes.get(offset..).unwrap_or_default();
        for (byte, value) in data.iter_mut().zip(found) {
            *byte = *value;
        }
    }

    /// Writes a field, whole, or half of an address. A driver that writes both halves at once
    /// is understood too.
    pub(super) fn write_common(&mut self, offset: usize, data: &[u8]) {
        match data {
            [low @ .., _, _, _, _] if low.len() == 4 => {
                self.write_common(offset, low);
                self.write_common(offset + 4, &data[4..]);
            }
            [a, b, c, d] => self.write_u32(offset, u32::from_le_bytes([*a, *b, *c, *d])),
            [a, b] => self.write_u16(offset, u16::from_le_bytes([*a, *b])),
            [status] if offset == DEVICE_STATUS => {
                self.set_status(Interface::Modern, (*status).into());
            }
            _ => {}
        }
    }

    fn common(&self) -> [u8; END] {
        let mut bytes = [0; END];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        let core = &self.core;
        let (device_half, driver_half) = (self.device_features_select, self.driver_features_select);
        let offered = core.device_features(Interface::Modern, device_half);
        put(DEVICE_FEATURE_SELECT, &device_half.to_le_bytes());
        put(DEVICE_FEATURE, &offered.to_le_bytes());
        put(DRIVER_FEATURE_SELECT, &driver_half.to_le_bytes());
        put(
            DRIVER_FEATURE,
            &core.driver_features(driver_half).to_le_bytes(),
        );
        let vector = |what| self.interrupts.vector(what).to_le_bytes();
        put(CONFIG_MSIX_VECTOR, &vector(CONFIG_VECTOR));
        // The generation may begin anew.
        put(NUM_QUEUES, &number(core.queues()).to_le_bytes());
        put(DEVICE_STATUS, &[(core.status() & 0xff) as u8]);
        put(
            CONFIG_GENERATION,
            &[(core.config_generation() & 0xff) as u8],
        );
        put(QUEUE_SELECT, &self.queue_select.to_le_bytes());
        let Some(queue) = core.queue(self.queue()) else {
            return bytes;
        };
        put(QUEUE_SIZE, &queue.size.to_le_bytes());
        put(
            QUEUE_MSIX_VECTOR,
            &vector(FIRST_QUEUE_VECTOR + self.queue()),
        );
        put(QUEUE_ENABLE, &u16::from(queue.ready).to_le_bytes());
        put(QUEUE_NOTIFY_OFF, &self.queue_select.to_le_bytes());
        put(QUEUE_DESC, &queue.desc_table.to_le_bytes());
        put(QUEUE_DRIVER, &queue.avail_ring.to_le_bytes());
        put(QUEUE_DEVICE, &queue.used_ring.to_le_bytes());
        bytes
    }

    fn write_u32(&mut self, offset: usize, value: u32) {
        match offset {
            DEVICE_FEATURE_SELECT => self.device_features_select = value,
            DRIVER_FEATURE_SELECT => self.driver_features_select = value,
            DRIVER_FEATURE => {
                let half = self.driver_features_select;
                self.core
                    .set_driver_features(Interface::Modern, half, value);
            }
            QUEUE_DESC..END => {
                if let Some(queue) = self.configurable_queue() {
                    set_address(queue, offset, value);
                }
            }
            _ => {}
        }
    }

    fn write_u16(&mut self, offset: usize, value: u16) {
        match offset {
            CONFIG_MSIX_VECTOR => self.interrupts.set_vector(CONFIG_VECTOR, value),
            QUEUE_SELECT => self.queue_select = value,
            QUEUE_MSIX_VECTOR => {
                let what = FIRST_QUEUE_VECTOR + self.queue();
                self.interrupts.set_vector(what, value);
            }
            QUEUE_SIZE => {
                if let Some(queue) = self.configurable_queue() {
                    queue.size = value;
                }
            }
            QUEUE_ENABLE => {
                if let Some(queue) = self.configurable_queue() {
                    queue.ready = value == 1;
                }
            }
            _ => {}
        }
    }

    /// The queue that is selected, if it may still be changed.
    fn configurable_queue(&mut self) -> Option<&mut QueueConfig> {
        let queue = self.core.queue_mut(Interface::Modern, self.queue())?;
        Some(queue).filter(|queue| !queue.ready)
    }
}

fn set_address(queue: &mut QueueConfig, offset: usize, value: u32) {
    let (address, at) = match offset {
        QUEUE_DESC..QUEUE_DRIVER => (&mut queue.desc_table, offset - QUEUE_DESC),
        QUEUE_DRIVER..QUEUE_DEVICE => (&mut queue.avail_ring, offset - QUEUE_DRIVER),
        _ => (&mut queue.used_ring, offset - QUEUE_DEVICE),
    };
    match at {
        0 => *address = join(value, high(*address)),
        4 => *address = join(low(*address), value),
        _ => {}
    }
}
