//! Messages as bytes: `size[4] type[1] tag[2]` and the fields, all little-endian.
//!
//! Source: intro(5) of Plan 9; diod's protocol.md for 9P2000.L.

use std::ffi::CString;

use rustix::io::Errno;

/// Bytes of a message before its fields.
pub(crate) const HEADER: usize = 4 + 1 + 2;
/// Bytes of an Rlerror, the reply that can always be made.
pub(crate) const ERROR: usize = HEADER + 4;
/// `NAME_MAX` of Linux.
const MAX_NAME: usize = 255;
const RLERROR: u8 = 7;

/// The fields of a T-message that have not been read yet.
///
/// Every reading fails with EINVAL where the message is too short for it.
pub(crate) struct Tmessage<'a>(pub &'a [u8]);

impl<'a> Tmessage<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Errno> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Errno> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Errno> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Errno> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Errno> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Errno> {
        self.array().map(u64::from_le_bytes)
    }

    /// A string, `[s]`: bytes with a 16-bit length before them.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], Errno> {
        let len = self.u16()?;
        self.take(len.into())
    }

    /// Bytes with a 32-bit length before them.
    pub(crate) fn data(&mut self) -> Result<&'a [u8], Errno> {
        let len = self.u32()?;
        // A u32 is a usize here: the monitor is for x86-64 only.
        self.take(len as usize)
    }

    /// A name in a directory: one that leads nowhere else.
    ///
    /// # Errors
    /// EINVAL for what is no such name, `.` and `..` among them; ENAMETOOLONG.
    pub(crate) fn name(&mut self) -> Result<CString, Errno> {
        match self.string()? {
            b"" | b"." | b".." => Err(Errno::INVAL),
            name if name.contains(&b'/') => Err(Errno::INVAL),
            name if name.len() > MAX_NAME => Err(Errno::NAMETOOLONG),
            name => CString::new(name).map_err(|_| Errno::INVAL),
        }
    }
}

/// The server's identification of a file: two that are alike are the same file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Qid {
    /// [`Qid::DIR`], [`Qid::SYMLINK`] or 0.
    pub kind: u8,
    /// Another one, as a rule, where the content is another.
    pub version: u32,
    pub path: u64,
}

impl Qid {
    pub(crate) const DIR: u8 = 0x80;
    pub(crate) const SYMLINK: u8 = 0x02;
}

/// An R-message in the making. What does not fit makes an Rlerror of the whole.
pub(crate) struct Rmessage<'a> {
    buffer: &'a mut [u8],
    len: usize,
    overflows: bool,
}

impl<'a> Rmessage<'a> {
    /// A message of at most as many bytes as `buffer` has, [`ERROR`] at least.
    pub(crate) fn new(buffer: &'a mut [u8]) -> Rmessage<'a> {
        Rmessage {
            buffer,
            len: HEADER,
            overflows: false,
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.len..self.len + bytes.len()) {
            Some(field) => {
                field.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.overflows = true,
        }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn string(&mut self, text: &[u8]) {
        match u16::try_from(text.len()) {
            Ok(len) => {
                self.u16(len);
                self.bytes(text);
            }
            Err(_) => self.overflows = true,
        }
    }

    pub(crate) fn qid(&mut self, qid: Qid) {
        self.u8(qid.kind);
        self.u32(qid.version);
        self.u64(qid.path);
    }

    /// Bytes with a 32-bit length before them, `max` at most or as many as fit:
    /// `fill` puts them there and says how many they are.
    pub(crate) fn data(
        &mut self,
        max: u32,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
    ) -> Result<(), Errno> {
        let start = self.len + size_of::<u32>();
        let free = self.buffer.get_mut(start..).ok_or(Errno::MSGSIZE)?;
        let max = free.len().min(max as usize);
        let len = u32::try_from(fill(&mut free[..max])?).map_err(|_| Errno::MSGSIZE)?;
        self.u32(len);
        self.len += len as usize;
        Ok(())
    }

    /// Ends the message of this type and tag, or an error in its entry; gives its length.
    pub(crate) fn finish(mut self, kind: u8, tag: u16, result: Result<(), Errno>) -> usize {
        let result = match self.overflows {
            true => result.and(Err(Errno::MSGSIZE)),
            false => result,
        };
        let kind = match result {
            Ok(()) => kind,
            Err(errno) => {
                self.len = HEADER;
                self.u32(errno.raw_os_error().unsigned_abs());
                RLERROR
            }
        };
        let len = self.len;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a message has no more than MAX_MSIZE bytes"
        )]
        let size = len as u32;
        self.len = 0;
        self.u32(size);
        self.u8(kind);
        self.u16(tag);
        len
    }
}
