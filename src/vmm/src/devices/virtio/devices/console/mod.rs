//! The console device (virtio 1.2, section 5.3): one port, and the size of the terminal.
//!
//! It is the container's stdio by another way than COM1, and both may be used. What the guest
//! says goes out by whichever it says it. What comes in is COM1's until the guest has said
//! something here: one that knows this device but does not use it still has its input.

mod port;
#[cfg(test)]
mod tests;

use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::poll::PollFlags;
use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;
use virtio_queue::Queue;

use crate::devices::virtio::device::{
    Deferred, EventSource, NeedsReset, Notifications, VirtioDevice,
};
use crate::devices::virtio::queue::chain;
use crate::devices::virtio::queue::iovec::GuestIovec;
use crate::devices::virtio::queue::{iovec, used_ring};
use crate::memory::GuestMemory;
use crate::terminal::Size;
pub(crate) use port::{INPUT_CAPACITY, Port};

const QUEUE_SIZES: [u16; 2] = [64, 64];
/// From the guest's point of view.
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

/// VIRTIO_CONSOLE_F_SIZE: the configuration space has the terminal's columns and rows.
const SIZE: u64 = 1;

/// The most bytes of a buffer.
const MAX: u32 = 1 << 20;
/// Bytes that are written out at a time.
const OUTPUT_CHUNK: usize = 4096;

pub(crate) struct Console {
    port: Port,
    /// The head of the buffer that is being written out, and what is left of it.
    current_output: Option<(u16, Vec<GuestIovec>)>,
    /// What is to be written out next.
    pending_output: Vec<u8>,
    /// Columns and rows, 16 bits each; a number of ports and a register that are not offered.
    config: [u8; 12],
}

impl Console {
    /// The device at the other end of `port`.
    pub(crate) fn new(port: Port) -> Console {
        Console {
            port,
            current_output: None,
            pending_output: Vec::new(),
            config: [0; 12],
        }
    }

    /// Gives the guest what there is for it and as much as it has room for.
    fn receive(
        &self,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        let mut notify = Notifications::NONE;
        while self.port.has_input()
            && let Some(buffer) = chain::next_available(queue, memory, MAX)?
        {
            let room = iovec::len(&buffer.writable) as usize;
            if !buffer.readable.is_empty() || room == 0 {
                return Err(NeedsReset("a buffer for input that cannot be written"));
            }
            let input = self.port.take(room);
            let len = iovec::write(&buffer.writable, memory, &input)?;
            used_ring::add(queue, memory, buffer.head, len)?;
            notify |= Notifications::queue(RECEIVE);
        }
        Ok(notify)
    }

    /// Takes the next part of the guest's output, once the one before is written out. The
    /// reader may be slow: a driver that resets the device meanwhile does not wait for it.
    fn transmit(
        &mut self,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        let mut notify = Notifications::NONE;
        while self.pending_output.is_empty()
            && let Some((head, rest)) = self.next_output(queue, memory)?
        {
            self.port.claim_input();
            let mut chunk = vec![0; OUTPUT_CHUNK];
            let len = iovec::read(&rest, memory, &mut chunk)?;
            chunk.truncate(len);
            if len > 0 {
                let (_, rest) = iovec::split_at(&rest, len);
                self.current_output = Some((head, rest));
            } else {
                used_ring::add(queue, memory, head, 0)?;
                notify |= Notifications::queue(TRANSMIT);
            }
            self.pending_output = chunk;
        }
        Ok(notify)
    }

    /// The rest of the buffer that is being written out, or else the next one.
    fn next_output(
        &mut self,
        queue: &mut Queue,
        memory: &GuestMemory,
    ) -> Result<Option<(u16, Vec<GuestIovec>)>, NeedsReset> {
        if let Some(current) = self.current_output.take() {
            return Ok(Some(current));
        }
        match chain::next_available(queue, memory, MAX)? {
            Some(buffer) if !buffer.writable.is_empty() => {
                Err(NeedsReset("output for the device to write"))
            }
            buffer => Ok(buffer.map(|buffer| (buffer.head, buffer.readable))),
        }
    }

    /// Takes over a new size, if there is one.
    fn resize(&mut self) -> Notifications {
        let Some(Size { columns, rows }) = self.port.take_size() else {
            return Notifications::NONE;
        };
        let size = [columns.to_le_bytes(), rows.to_le_bytes()];
        self.config[..4].copy_from_slice(size.as_flattened());
        Notifications::CONFIG
    }
}

impl VirtioDevice for Console {
    fn id(&self) -> u32 {
        VIRTIO_ID_CONSOLE
    }

    fn features(&self) -> u64 {
        SIZE
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    /// Linux looks at the size only when it is told that it changed.
    fn activate(&mut self, _: u64) {
        self.port.announce_size();
    }

    /// What was taken is still written.
    fn reset(&mut self) {
        self.current_output = None;
        self.port.release_input();
    }

    fn process_queue(
        &mut self,
        index: usize,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        match (index, queues) {
            (RECEIVE, [receive, _]) => self.receive(receive, memory),
            (TRANSMIT, [_, transmit]) => self.transmit(transmit, memory),
            _ => Ok(Notifications::NONE),
        }
    }

    fn event_source(&self) -> Option<EventSource<'_>> {
        Some(EventSource {
            fd: self.port.wake_event().as_fd(),
            events: PollFlags::POLLIN,
        })
    }

    fn process_event(
        &mut self,
        queues: &mut [Queue],
        memory: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        let _ = self.port.wake_event().read();
        let notify = self.resize();
        match queues {
            [receive, transmit] => {
                let notify = notify | self.receive(receive, memory)?;
                Ok(notify | self.transmit(transmit, memory)?)
            }
            _ => Ok(notify),
        }
    }

    fn take_deferred(&mut self) -> Option<Deferred> {
        let output = std::mem::take(&mut self.pending_output);
        let port = self.port.clone();
        (!output.is_empty()).then(|| -> Deferred { Box::new(move || port.write(&output)) })
    }

    fn descriptors(&self) -> Vec<RawFd> {
        vec![self.port.wake_event().as_fd().as_raw_fd()]
    }
}
