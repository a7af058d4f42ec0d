//! A network device: a descriptor that takes and gives a whole Ethernet packet at a time.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};

use super::returned::Returned;
use crate::config::NetDevice;
use crate::error::Error;
use crate::hypercall::arguments::{Arguments, at_most};
use crate::hypercall::fault::HypercallFault;
use crate::packets::{MAX_PACKET, Packets};

/// No packet has more bytes.
const MAX: u64 = MAX_PACKET as u64;

pub(crate) struct Net {
    pub packets: Packets,
    /// Nothing will come any more.
    pub is_closed: bool,
}

/// The header of virtio's that some taps have before each packet: nothing is left to do.
const HEADER: [u8; 10] = [0; 10];

impl Net {
    /// # Errors
    /// [`Error::BadNetDevice`] where the descriptor cannot be made to give whole packets
    /// without blocking.
    pub(crate) fn open(device: NetDevice) -> Result<Net, Error> {
        let name = device.name.clone();
        let packets = Packets::open(device)?;
        if packets.has_headers() {
            packets
                .set_header_size(HEADER.len())
                .and_then(|()| packets.set_offloads(0))
                .map_err(|fault| Error::BadNetDevice { name, fault })?;
        }
        let is_closed = false;
        Ok(Net { packets, is_closed })
    }

    fn header(&self) -> &'static [u8] {
        match self.packets.has_headers() {
            true => &HEADER,
            false => &[],
        }
    }

    /// A packet that cannot be sent is lost, as packets are; only the kernel's own mistake is
    /// told.
    fn send(&mut self, packet: &[u8]) -> Returned {
        let parts = [self.header(), packet].map(IoSlice::new);
        match self.packets.file().write_vectored(&parts) {
            Err(e) if e.kind() == ErrorKind::InvalidInput => Returned::InvalidArgument,
            _ => Returned::Ok,
        }
    }

    /// Puts the next packet into `packet`, cut where it is longer; says how long it is.
    fn receive(&mut self, packet: &mut [u8]) -> Result<usize, Returned> {
        let mut header = HEADER;
        let (header, _) = header.split_at_mut(self.header().len());
        let skipped = header.len();
        let mut parts = [header, packet].map(IoSliceMut::new);
        match self.packets.file().read_vectored(&mut parts) {
            Ok(0) => self.is_closed = true,
            Ok(len) => return Ok(len.saturating_sub(skipped)),
            Err(e) if is_transient(&e) => {}
            Err(_) => {
                self.is_closed = true;
                return Err(Returned::Unspecified);
            }
        }
        Err(Returned::Again)
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// `hvt_hc_net_write`: handle, data, len; what it returns. `net` is the device of that handle, if
/// there is one.
pub(super) fn write(args: &Arguments<'_>, net: Option<&mut Net>) -> Result<(), HypercallFault> {
    let returned = match net {
        None => Returned::InvalidArgument,
        Some(net) => {
            let data = args.buffer(args.word(8)?, args.word(16)?)?;
            match data.len {
                ..=MAX => net.send(&data.to_vec()?),
                _ => Returned::InvalidArgument,
            }
        }
    };
    args.put_int(24, returned as i32)
}

/// `hvt_hc_net_read`: handle, data, len, which becomes the packet's; what it returns.
pub(super) fn read(args: &Arguments<'_>, net: Option<&mut Net>) -> Result<(), HypercallFault> {
    let Some(net) = net else {
        return args.put_int(24, Returned::InvalidArgument as i32);
    };
    let data = args.buffer(args.word(8)?, args.word(16)?)?;
    let mut packet = vec![0; at_most(data.len, MAX_PACKET as usize)];
    let returned = match net.receive(&mut packet) {
        Err(returned) => returned,
        Ok(len) => {
            data.put(&packet[..len])?;
            args.put_word(16, len as u64)?;
            Returned::Ok
        }
    };
    args.put_int(24, returned as i32)
}
