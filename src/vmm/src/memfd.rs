//! Anonymous files that nobody can change once they are written (memfd_create(2)).

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The most bytes of a kernel that is kept so. Kernels with their applications are of a few MiB,
/// and a node can spare this much for the moment in which a container is made.
pub const MAX_KERNEL: u64 = 128 << 20;

/// An empty file in memory, which can be sealed.
///
/// # Errors
/// Those of memfd_create(2).
pub(crate) fn create(name: &CStr) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    Ok(memfd_create(name, flags)?.into())
}

/// Seals `file`: from here on neither its content nor its size changes.
///
/// # Errors
/// Those of fcntl(2): a file of another kind.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    add_seals(file, SIZE | SealFlag::F_SEAL_WRITE)
}

/// Seals the size of `file`; its content may change.
///
/// # Errors
/// As [`seal`].
pub(crate) fn seal_size(file: &File) -> io::Result<()> {
    add_seals(file, SIZE)
}

const SIZE: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);

/// Adds `seals`, and that there are no further ones.
fn add_seals(file: &File, seals: SealFlag) -> io::Result<()> {
    fcntl(file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
    Ok(())
}

/// A copy of a regular file of `max` bytes at most, which needs its file system no more.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`]; and what the system has no memory for, or cannot read.
pub fn sealed_copy(mut file: &File, max: u64) -> io::Result<File> {
    file.seek(SeekFrom::Start(0))?;
    let mut copy = create(c"copy")?;
    // One byte more, to see that there is one.
    if io::copy(&mut file.take(max.saturating_add(1)), &mut copy)? > max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    seal(&copy)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_copy_is_whole_and_stays_as_it_is() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100_000]).unwrap();
        let mut copy = sealed_copy(&file, 100_000).unwrap();
        file.write_all_at(b"new", 0).unwrap();
        assert!(copy.write_all_at(b"new", 0).is_err());
        let mut bytes = Vec::new();
        copy.seek(SeekFrom::Start(0)).unwrap();
        copy.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [7; 100_000]);
        let refused = sealed_copy(&file, 99_999).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    }
}
