//! rtnetlink(7), one request at a time.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkMessage, NetlinkPayload, ParseableParametrized,
};
use netlink_packet_route::{RouteNetlinkMessage, RouteNetlinkMessageBuffer};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// How often a listing is begun anew that was changed while it was read.
const MAX_LISTINGS: usize = 16;

/// A socket into the network namespace of the thread that opened it.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// A listing was changed each time that it was read.
#[derive(Debug, thiserror::Error)]
#[error("it changes all the time")]
struct Unstable;

/// One message of a listing, as it came: its type (`RTM_…`) and what follows the header.
type Raw = (u16, Vec<u8>);

impl Netlink {
    /// Opens a socket in the network namespace of this thread.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let sequence = 0;
        Ok(Self { socket, sequence })
    }

    /// Has something changed; `flags` are `NLM_F_CREATE` and so on.
    ///
    /// # Errors
    /// The kernel's own.
    pub fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.change_all(vec![message], flags)
    }

    /// Has several things changed in one call: whatever becomes of this process, all or none
    /// of them are asked for.
    ///
    /// # Errors
    /// The first that the kernel answers with; it has tried the others all the same.
    pub fn change_all(&mut self, messages: Vec<RouteNetlinkMessage>, flags: u16) -> io::Result<()> {
        let first = self.sequence + 1;
        let count = messages.len();
        let bytes: Vec<u8> = messages
            .into_iter()
            .flat_map(|message| self.emit(message, NLM_F_ACK | flags))
            .collect();
        self.socket.send(&bytes, 0)?;
        let mut changed = Ok(());
        for sequence in (first..).take(count) {
            let answer = self.receive(sequence, &mut Vec::new());
            changed = changed.and(answer.map(drop));
        }
        changed
    }

    /// Lists what `message` asks for.
    ///
    /// # Errors
    /// The kernel's own, and for a message that cannot be read.
    pub fn list(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let parse = |(kind, payload): Raw| {
            let buffer = RouteNetlinkMessageBuffer::new(&payload);
            RouteNetlinkMessage::parse_with_param(&buffer, kind).map_err(io::Error::other)
        };
        let raw = self.list_raw(message)?;
        raw.into_iter().map(parse).collect()
    }

    /// As [`Netlink::list`], for kinds of messages of which the library cannot parse all.
    ///
    /// # Errors
    /// The kernel's own, and where the listing is changed each time that it is read.
    pub fn list_raw(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<Raw>> {
        for _ in 0..MAX_LISTINGS {
            let bytes = self.emit(message.clone(), NLM_F_DUMP);
            self.socket.send(&bytes, 0)?;
            let mut found = Vec::new();
            if self.receive(self.sequence, &mut found)? {
                return Ok(found);
            }
        }
        Err(io::Error::other(Unstable))
    }

    /// The message with the next sequence number, as bytes.
    fn emit(&mut self, message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
        self.sequence += 1;
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    /// Takes all of the answer to one message; gives whether it is one listing, not changed in
    /// between.
    fn receive(&mut self, sequence: u32, found: &mut Vec<Raw>) -> io::Result<bool> {
        let mut is_whole = true;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
                let len = (message.length() as usize).next_multiple_of(4);
                let is_ours = message.sequence_number() == sequence;
                is_whole &= message.flags() & NLM_F_DUMP_INTR == 0;
                match message.message_type() {
                    // Of a listing that was begun before.
                    _ if !is_ours => {}
                    NLMSG_DONE => return Ok(is_whole),
                    NLMSG_ERROR => return error(rest).map(|()| true),
                    kind => found.push((kind, message.payload().to_vec())),
                }
                rest = rest.get(len..).unwrap_or_default();
            }
        }
    }
}

/// What the kernel answers when there is nothing to list: an error, or that all went well.
fn error(message: &[u8]) -> io::Result<()> {
    let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message);
    match message.map_err(io::Error::other)?.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(()),
    }
}
