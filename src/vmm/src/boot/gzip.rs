//! Kernels compressed by gzip (RFC 1952): Hermit's, which are shipped so.
//!
//! A file of a few KiB can unpack to any size: what is unpacked goes to an anonymous file of
//! a bounded one, and only where it begins like a kernel.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use super::tar;
use crate::error::KernelError;
use crate::memfd::{self, MAX_KERNEL};
use flate2::bufread::GzDecoder;

/// A member's magic number and the only method, "deflate" (section 2.3.1).
const MAGIC: &[u8] = &[0x1f, 0x8b, 8];
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// What a compressed kernel file holds, in anonymous files that nobody can change.
#[derive(Debug)]
pub struct Unpacked {
    /// An ELF file.
    pub kernel: File,
    /// The Hermit image, a tar archive, that the kernel lies in; its files are the
    /// application's.
    pub image: Option<File>,
}

/// Unpacks `file` if it is compressed; `None`: it is not.
///
/// # Errors
/// What is compressed and no kernel; what unpacks to more than 128 MiB; damaged data; what the
/// system has no memory for.
pub fn unpack(file: &File) -> Result<Option<Unpacked>, KernelError> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || !starts_with(file, MAGIC)? {
        return Ok(None);
    }
    if metadata.len() > MAX_KERNEL {
        return Err(too_large());
    }
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    let mut contents = GzDecoder::new(BufReader::new(file));
    let mut head = [0; tar::HEADER_SIZE];
    let len = fill(&mut contents, &mut head).map_err(damaged)?;
    let is_elf = head.starts_with(ELF_MAGIC);
    if !is_elf && !tar::is_header(&head[..len]) {
        return Err(KernelError::NotAKernel {
            found: "it is a gzip-compressed file with neither an ELF file nor a Hermit image in it",
        });
    }
    let whole = copy(head[..len].chain(contents))?;
    match is_elf {
        true => Ok(Some(Unpacked {
            kernel: whole,
            image: None,
        })),
        false => Ok(Some(Unpacked {
            kernel: anonymous(&*tar::kernel(&whole)?)?,
            image: Some(whole),
        })),
    }
}

fn starts_with(file: &File, magic: &[u8]) -> io::Result<bool> {
    use std::os::unix::fs::FileExt;
    let mut head = vec![0; magic.len()];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(head == magic),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// Reads until `bytes` is full or there is no more; gives how many there were.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < bytes.len() {
        match from.read(&mut bytes[len..])? {
            0 => break,
            read => len += read,
        }
    }
    Ok(len)
}

/// All of what is unpacked, if it is not too large.
fn copy(contents: impl Read) -> Result<File, KernelError> {
    // One byte more, to see that there is one.
    anonymous(contents.take(MAX_KERNEL + 1)).and_then(|file| {
        let len = file.metadata()?.len();
        (len <= MAX_KERNEL).then_some(file).ok_or_else(too_large)
    })
}

/// An anonymous file with this content, sealed.
fn anonymous(mut contents: impl Read) -> Result<File, KernelError> {
    let mut file = memfd::create(c"kernel")?;
    let mut part = vec![0; 1 << 16];
    loop {
        let len = fill(&mut contents, &mut part).map_err(damaged)?;
        file.write_all(&part[..len])?;
        if len < part.len() {
            break;
        }
    }
    memfd::seal(&file)?;
    Ok(file)
}

fn damaged(e: io::Error) -> KernelError {
    KernelError::bad_header("gzip data", e)
}

fn too_large() -> KernelError {
    KernelError::UnpacksTooLarge { max: MAX_KERNEL }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::testing::{ElfFile, file, gzip, tar_of};
    use crate::boot::{BootAbi, KernelImage};

    fn unpack_bytes(bytes: &[u8]) -> Result<Option<Unpacked>, KernelError> {
        unpack(&file(bytes))
    }

    #[track_caller]
    fn fault(bytes: &[u8]) -> String {
        unpack_bytes(bytes).unwrap_err().to_string()
    }

    fn content(mut file: File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_compressed_elf_file_is_unpacked_and_sealed() {
        let elf = ElfFile::kernel().bytes();
        let unpacked = unpack_bytes(&gzip(&elf)).unwrap().unwrap();
        let image = KernelImage::probe(&unpacked.kernel).unwrap();
        assert_eq!(image.abi(), BootAbi::Linux64);
        assert!((&unpacked.kernel).write_all(b"x").is_err(), "sealed");
        assert!(unpacked.image.is_none());
        assert_eq!(content(unpacked.kernel), elf);
    }

    #[test]
    fn other_files_are_left_alone() {
        for bytes in [
            &b""[..],
            b"\x1f",
            b"\x1f\x8b\x07",
            &ElfFile::kernel().bytes(),
        ] {
            assert!(unpack_bytes(bytes).unwrap().is_none());
        }
        assert!(unpack(&File::open("/").unwrap()).unwrap().is_none());
    }

    #[test]
    fn what_is_compressed_and_no_kernel_is_refused_before_it_is_unpacked() {
        for bytes in [&b""[..], b"#!/bin/sh\n", &[0; 4096]] {
            let found = fault(&gzip(bytes));
            assert!(found.contains("no known boot ABI"), "{found}");
        }
    }

    /// 200 MiB of zeros after an ELF file's beginning are 200 KiB of gzip.
    #[test]
    fn a_bomb_is_refused() {
        let mut bomb = ElfFile::kernel().bytes();
        bomb.resize(200 << 20, 0);
        let bomb = gzip(&bomb);
        assert!(bomb.len() < 1 << 20);
        let found = fault(&bomb);
        assert!(found.contains("more than 128 MiB"), "{found}");
        let sparse = file(&bomb);
        sparse.set_len(MAX_KERNEL + 1).unwrap();
        let found = unpack(&sparse).unwrap_err().to_string();
        assert!(found.contains("more than 128 MiB"), "{found}");
    }

    #[test]
    fn damaged_and_truncated_data_is_an_error() {
        let whole = gzip(&ElfFile::kernel().bytes());
        for len in [3, 10, whole.len() / 2, whole.len() - 1] {
            let found = fault(&whole[..len]);
            assert!(found.contains("gzip data cannot be read"), "{len}: {found}");
        }
        let mut damaged = whole;
        let checksum = damaged.len() - 5;
        damaged[checksum] ^= 1;
        assert!(fault(&damaged).contains("gzip data cannot be read"));
    }

    #[test]
    fn a_hermit_image_gives_its_kernel_and_itself() {
        let elf = ElfFile::kernel().bytes();
        let config = b"version = \"1\"\nkernel = \"/app/kernel\"\n[input]\nkernel_args = []\napp_args = []\n";
        let tar = tar_of(&[("hermit.toml", config), ("app/kernel", &elf)]);
        let unpacked = unpack_bytes(&gzip(&tar)).unwrap().unwrap();
        assert_eq!(content(unpacked.kernel), elf);
        assert_eq!(content(unpacked.image.unwrap()), tar);
    }
}
