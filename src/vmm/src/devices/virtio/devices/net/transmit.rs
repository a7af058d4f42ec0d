//! From the guest's buffers to the packets' descriptor.

use virtio_queue::Queue;

use super::header::{LONGEST, Negotiated};
use crate::devices::virtio::device::NeedsReset;
use crate::devices::virtio::queue::iovec;
use crate::devices::virtio::queue::iovec::Iovecs;
use crate::devices::virtio::queue::{chain, used_ring};
use crate::memory::GuestMemory;
use crate::packets::{MAX_PACKET, Packets};

/// Sends `max` packets; says how many there were. One that cannot be sent is lost, as packets
/// are.
///
/// # Errors
/// [`NeedsReset`] for what is no packet.
pub(super) fn send(
    packets: &Packets,
    negotiated: &Negotiated,
    queue: &mut Queue,
    memory: &GuestMemory,
    max: usize,
) -> Result<usize, NeedsReset> {
    let max_len = MAX_PACKET + LONGEST;
    for sent in 0..max {
        let Some(buffer) = chain::next_available(queue, memory, max_len)? else {
            return Ok(sent);
        };
        if !buffer.writable.is_empty() {
            return Err(NeedsReset("a packet for the device to write"));
        }
        let size = negotiated.header as usize;
        let mut header = [0; LONGEST as usize];
        let read = iovec::read(&buffer.readable, memory, &mut header[..size])?;
        if read < size {
            return Err(NeedsReset("a packet without its header"));
        }
        let (_, data) = iovec::split_at(&buffer.readable, size);
        if negotiated.accepts(&mut header) && !data.is_empty() {
            let mut iovecs = Iovecs::default();
            if packets.has_headers() {
                iovecs.append_own(&mut header[..size]);
            }
            iovecs.append(&data, memory)?;
            let _ = iovecs.write(packets);
        }
        used_ring::add(queue, memory, buffer.head, 0)?;
    }
    Ok(max)
}
