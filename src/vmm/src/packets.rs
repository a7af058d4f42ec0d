//! A descriptor that takes and gives one Ethernet packet at a time: a tap device or a socket.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{self, ifreq};

use super::config::NetDevice;
use super::error::Error;

nix::ioctl_read_bad!(tun_get_iff, libc::TUNGETIFF, ifreq);
nix::ioctl_write_int_bad!(tun_set_offload, libc::TUNSETOFFLOAD);
nix::ioctl_write_ptr_bad!(tun_set_header_size, libc::TUNSETVNETHDRSZ, c_int);

/// The most bytes of an Ethernet packet: IPv6's largest, behind an Ethernet header with a tag.
pub(crate) const MAX_PACKET: u32 = 40 + 65_535 + 18;

/// Never blocks.
#[derive(Debug)]
pub(crate) struct Packets {
    file: File,
    has_headers: bool,
}

impl Packets {
    /// # Errors
    /// [`Error::BadNetDevice`] where fcntl(2) refuses the descriptor.
    pub(crate) fn open(device: NetDevice) -> Result<Packets, Error> {
        let file = File::from(device.packets);
        let flags = fcntl(&file, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
        flags
            .and_then(|flags| fcntl(&file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)))
            .map_err(|errno| Error::BadNetDevice {
                name: device.name,
                fault: errno.into(),
            })?;
        let has_headers = has_headers(&file);
        Ok(Packets { file, has_headers })
    }

    /// Whether each packet has a header of virtio's before it: a tap with IFF_VNET_HDR.
    pub(crate) fn has_headers(&self) -> bool {
        self.has_headers
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Sets how long the headers are, in bytes: 10, or 12. Of the last two the kernel writes
    /// none.
    ///
    /// # Errors
    /// Those of the ioctl TUNSETVNETHDRSZ.
    pub(crate) fn set_header_size(&self, bytes: usize) -> io::Result<()> {
        let size = c_int::try_from(bytes).map_err(io::Error::other)?;
        // SAFETY: the descriptor is a tap's, and the kernel reads one int.
        unsafe { tun_set_header_size(self.file.as_raw_fd(), &size) }?;
        Ok(())
    }

    /// Sets which unfinished packets the kernel may hand over: bits TUN_F_….
    ///
    /// # Errors
    /// Those of the ioctl TUNSETOFFLOAD: EINVAL for what this kernel does not have.
    pub(crate) fn set_offloads(&self, offloads: u32) -> io::Result<()> {
        let offloads = offloads.cast_signed();
        // SAFETY: the descriptor is a tap's, and the kernel takes the number as it is.
        unsafe { tun_set_offload(self.file.as_raw_fd(), offloads) }?;
        Ok(())
    }
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Packets {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// What is no tap does not know the question.
fn has_headers(file: &File) -> bool {
    let mut request = ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 },
    };
    // SAFETY: the descriptor is open, and a tap writes one `ifreq`.
    let answer = unsafe { tun_get_iff(file.as_raw_fd(), &mut request) };
    // SAFETY: the union's flags are an integer, which any bytes are.
    let flags = c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    answer.is_ok() && flags & libc::IFF_VNET_HDR != 0
}
