//! From the guest's buffers to the packets' descriptor.

use virtio_queue::Queue;

use super::header::{Agreement, LONGEST};
use crate::devices::virtio::device::Broken;
use crate::devices::virtio::queue::pieces::{self, Vectors};
use crate::devices::virtio::queue::{chain, used};
use crate::memory::GuestMemory;
use crate::packets::{MAX_PACKET, Packets};

/// Sends `most` packets; says how many there were. One that cannot be sent is lost, as packets
/// are.
///
/// # Errors
/// [`Broken`] for what is no packet.
pub(super) fn send(
    packets: &Packets,
    agreement: &Agreement,
    queue: &mut Queue,
    memory: &GuestMemory,
    max: usize,
) -> Result<usize, Broken> {
    let most_bytes = MAX_PACKET + LONGEST as u32;
    for sent in 0..max {
        let Some(buffer) = chain::next(queue, memory, most_bytes)? else {
            return Ok(sent);
        };
        if !buffer.writable.is_empty() {
            return Err(Broken("a packet for the device to write"));
        }
        let size = agreement.header;
        let mut header = [0; LONGEST];
        let read = pieces::read(&buffer.readable, memory, &mut header[..size])?;
        if read < size {
            return Err(Broken("a packet without its header"));
        }
        let (_, data) = pieces::split_at(&buffer.readable, size as u64);
        if agreement.admits(&mut header) && !data.is_empty() {
            let mut vectors = Vectors::default();
            if packets.has_headers() {
                vectors.append_own(&mut header[..size]);
            }
            vectors.append(&data, memory)?;
            let _ = vectors.write(packets);
        }
        used::add(queue, memory, buffer.head, 0)?;
    }
    Ok(max)
}
