//! A network device: a descriptor that takes and gives a whole Ethernet packet at a time.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{Returned, Solo5};
use crate::vmm::config::NetDevice;
use crate::vmm::error::Error;
use crate::vmm::hypercall::arguments::Arguments;

/// More bytes than any packet has: what a u16 can say, with the Ethernet header and a tag.
const MAX_PACKET: u64 = 65_535 + 18;

pub struct Net {
    pub packets: File,
    /// Nothing will come any more.
    pub is_closed: bool,
}

impl Net {
    /// # Errors
    /// [`Error::BadNetDevice`] where fcntl(2) refuses the descriptor.
    pub fn open(device: NetDevice) -> Result<Net, Error> {
        let packets = File::from(device.packets);
        let flags = fcntl(&packets, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
        flags
            .and_then(|flags| fcntl(&packets, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)))
            .map_err(|errno| Error::BadNetDevice {
                name: device.name,
                fault: errno.into(),
            })?;
        let is_closed = false;
        Ok(Net { packets, is_closed })
    }

    /// A packet that cannot be sent is lost, as packets are; only the kernel's own mistake is
    /// told.
    fn send(&mut self, packet: &[u8]) -> Returned {
        match self.packets.write(packet) {
            Err(e) if e.kind() == ErrorKind::InvalidInput => Returned::InvalidArgument,
            _ => Returned::Ok,
        }
    }

    /// Puts the next packet into `packet`, cut where it is longer; says how long it is.
    fn receive(&mut self, packet: &mut [u8]) -> Result<usize, Returned> {
        match self.packets.read(packet) {
            Ok(0) => self.is_closed = true,
            Ok(len) => return Ok(len),
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

impl Solo5 {
    /// `hvt_hc_net_write`: handle, data, len; what it returns.
    pub(super) fn net_write(&mut self, args: &Arguments<'_>) -> Result<(), String> {
        let returned = match self.devices.net(args.word(0)?) {
            None => Returned::InvalidArgument,
            Some(net) => {
                let data = args.buffer(args.word(8)?, args.word(16)?)?;
                match data.len {
                    ..=MAX_PACKET => net.send(&data.to_vec()?),
                    _ => Returned::InvalidArgument,
                }
            }
        };
        args.put_int(24, returned as i32)
    }

    /// `hvt_hc_net_read`: handle, data, len, which becomes the packet's; what it returns.
    pub(super) fn net_read(&mut self, args: &Arguments<'_>) -> Result<(), String> {
        let Some(net) = self.devices.net(args.word(0)?) else {
            return args.put_int(24, Returned::InvalidArgument as i32);
        };
        let data = args.buffer(args.word(8)?, args.word(16)?)?;
        let mut packet = vec![0; data.len.min(MAX_PACKET) as usize];
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
}
