//! A packet's header (virtio 1.2, section 5.10.6), and the credit of a connection (5.10.6.3).

use crate::bits::{high, join, low};

/// Bytes of a header.
pub(crate) const SIZE: usize = 44;

/// The context IDs of host and guest (section 5.10.4).
pub(crate) const HOST: u64 = 2;
pub(crate) const GUEST: u64 = 3;

/// The type of a stream's packets.
pub(crate) const STREAM: u16 = 1;

/// The port that is none: "any", for who binds (Linux's VMADDR_PORT_ANY).
pub(crate) const NO_PORT: u32 = u32::MAX;

/// Flags of [`op::SHUTDOWN`]: whoever sends them will not receive, or not send, any more.
pub(crate) const NO_RECEIVE: u32 = 1 << 0;
pub(crate) const NO_SEND: u32 = 1 << 1;

/// What a packet is.
pub(crate) mod op {
    pub(crate) const REQUEST: u16 = 1;
    pub(crate) const RESPONSE: u16 = 2;
    pub(crate) const RST: u16 = 3;
    pub(crate) const SHUTDOWN: u16 = 4;
    pub(crate) const RW: u16 = 5;
    pub(crate) const CREDIT_UPDATE: u16 = 6;
    pub(crate) const CREDIT_REQUEST: u16 = 7;
}

/// The fields of a header, by the specification's names; `kind` is its `type`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub src_cid: u64,
    pub dst_cid: u64,
    pub src_port: u32,
    pub dst_port: u32,
    /// Bytes of data behind the header.
    pub len: u32,
    pub kind: u16,
    pub op: u16,
    pub flags: u32,
    /// How many bytes the sender of this has room for.
    pub buf_alloc: u32,
    /// How many it has taken out of there since the beginning, modulo 2^32.
    pub fwd_cnt: u32,
}

impl Header {
    /// A header for the guest, without data.
    pub(crate) fn to_guest(ports: Ports, op: u16) -> Header {
        Header {
            src_cid: HOST,
            dst_cid: GUEST,
            src_port: ports.host,
            dst_port: ports.guest,
            kind: STREAM,
            op,
            ..Header::default()
        }
    }

    pub(crate) fn read(bytes: &[u8; SIZE]) -> Header {
        let mut rest = Fields(bytes);
        Header {
            src_cid: u64::from_le_bytes(rest.take()),
            dst_cid: u64::from_le_bytes(rest.take()),
            src_port: u32::from_le_bytes(rest.take()),
            dst_port: u32::from_le_bytes(rest.take()),
            len: u32::from_le_bytes(rest.take()),
            kind: u16::from_le_bytes(rest.take()),
            op: u16::from_le_bytes(rest.take()),
            flags: u32::from_le_bytes(rest.take()),
            buf_alloc: u32::from_le_bytes(rest.take()),
            fwd_cnt: u32::from_le_bytes(rest.take()),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [
            &self.src_cid.to_le_bytes()[..],
            &self.dst_cid.to_le_bytes(),
            &self.src_port.to_le_bytes(),
            &self.dst_port.to_le_bytes(),
            &self.len.to_le_bytes(),
            &self.kind.to_le_bytes(),
            &self.op.to_le_bytes(),
            &self.flags.to_le_bytes(),
            &self.buf_alloc.to_le_bytes(),
            &self.fwd_cnt.to_le_bytes(),
        ]
        .concat()
    }

    /// The RST for a packet of no connection: as that was addressed, so that its sender knows
    /// what is meant, but for the guest in any case.
    pub(crate) fn reset(&self) -> Header {
        Header {
            src_cid: self.dst_cid,
            kind: self.kind,
            ..Header::to_guest(self.ports(), op::RST)
        }
    }

    /// The connection that a packet of the guest's is for.
    pub(crate) fn ports(&self) -> Ports {
        Ports {
            host: self.dst_port,
            guest: self.src_port,
        }
    }
}

/// What is left of a header's bytes: no more is taken than there is.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_at(N);
        self.0 = rest;
        let mut bytes = [0; N];
        bytes.copy_from_slice(field);
        bytes
    }
}

/// A connection's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ports {
    pub host: u32,
    pub guest: u32,
}

impl Ports {
    /// As one number. None is `u64::MAX`, for that would have [`NO_PORT`]s.
    pub(crate) fn token(self) -> u64 {
        join(self.guest, self.host)
    }

    pub(crate) fn of_token(token: u64) -> Ports {
        Ports {
            host: high(token),
            guest: low(token),
        }
    }
}

/// How much may still be sent to the guest.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    tx_cnt: u32,
    peer_buf_alloc: u32,
    peer_fwd_cnt: u32,
}

impl Credit {
    /// Takes in what the guest says of its room, as it does in each of its packets.
    pub(crate) fn update(&mut self, header: &Header) {
        self.peer_buf_alloc = header.buf_alloc;
        self.peer_fwd_cnt = header.fwd_cnt;
    }

    /// Bytes that it has room for. One that says that it has taken more than it was sent has
    /// none.
    pub(crate) fn available(&self) -> u32 {
        let waiting = self.tx_cnt.wrapping_sub(self.peer_fwd_cnt);
        self.peer_buf_alloc.saturating_sub(waiting)
    }

    pub(crate) fn consume(&mut self, bytes: u32) {
        self.tx_cnt = self.tx_cnt.wrapping_add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let bytes: [u8; SIZE] = std::array::from_fn(|at| at as u8);
        let header = Header::read(&bytes);
        assert_eq!(header.bytes(), bytes);
        assert_eq!((header.src_port, header.op), (0x1312_1110, 0x1f1e));
    }

    #[test]
    fn the_reset_of_a_packet_goes_back_to_the_guest() {
        let header = Header {
            src_cid: 99,
            dst_cid: 5,
            src_port: 1,
            dst_port: 2,
            kind: 7,
            op: op::REQUEST,
            ..Header::default()
        };
        let reset = header.reset();
        assert_eq!((reset.src_cid, reset.dst_cid), (5, GUEST));
        assert_eq!((reset.src_port, reset.dst_port), (2, 1));
        assert_eq!((reset.kind, reset.op, reset.len), (7, op::RST, 0));
    }

    #[test]
    fn credit_counts_round() {
        let header = |buf_alloc, fwd_cnt| Header {
            buf_alloc,
            fwd_cnt,
            ..Header::default()
        };
        let mut credit = Credit::default();
        assert_eq!(credit.available(), 0);
        credit.update(&header(100, 0));
        credit.consume(60);
        assert_eq!(credit.available(), 40);
        credit.update(&header(100, 60));
        assert_eq!(credit.available(), 100);
        credit.update(&header(100, 61));
        assert_eq!(credit.available(), 0, "more than was sent");
        credit.update(&header(50, 0));
        assert_eq!(credit.available(), 0, "it has become smaller");
        credit.consume(u32::MAX - 59);
        credit.update(&header(100, u32::MAX));
        assert_eq!(credit.available(), 99, "past 2^32");
    }
}
