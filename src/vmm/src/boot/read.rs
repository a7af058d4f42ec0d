//! Reading of a kernel file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::KernelError;

/// Reads `len` bytes at `offset` of a file of `file_size` bytes. The caller bounds `len`; `part`
/// names what is read.
///
/// # Errors
/// [`KernelError::Truncated`] where the file ends before; what the file system says.
pub(super) fn read_at(
    file: &File,
    offset: u64,
    len: u64,
    part: &'static str,
    file_size: u64,
) -> Result<Vec<u8>, KernelError> {
    let truncated = || KernelError::Truncated {
        part,
        needs: offset.saturating_add(len),
        size: file_size,
    };
    if offset.checked_add(len).is_none_or(|end| end > file_size) {
        return Err(truncated());
    }
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => truncated(),
            _ => KernelError::Io(e),
        })?;
    Ok(bytes)
}
