//! What is mounted where, as this process sees it: proc_pid_mountinfo(5).
//!
//! The options are kept as they are written, so that what was taken away can be mounted again.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A mounted file system, or a part of one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Mount {
    /// By which /proc names it elsewhere.
    pub id: u64,
    /// Major and minor number of the file system's device; the major one is 0 where that is no
    /// block device.
    pub number: (u32, u32),
    /// The directory of the file system that is mounted: `/` is all of it.
    pub root: PathBuf,
    /// Where it is mounted.
    pub place: PathBuf,
    /// The mount's own options, with commas between.
    pub options: String,
    /// The file system's type.
    pub kind: String,
    /// What was named as its source: a device's node, perhaps.
    pub source: PathBuf,
    /// The file system's own options, with commas between.
    pub super_options: String,
}

impl Mount {
    /// All that is mounted.
    ///
    /// # Errors
    /// Where /proc does not say.
    pub fn all() -> io::Result<Vec<Self>> {
        let text = fs::read("/proc/self/mountinfo")?;
        let lines = text.split(|&byte| byte == b'\n');
        Ok(lines.filter_map(Self::parse).collect())
    }

    /// The mount that the open `directory` is in; `None` where it is not to be seen from here.
    ///
    /// # Errors
    /// Where /proc does not say.
    pub fn of(dir: impl AsFd) -> io::Result<Option<Self>> {
        let fd = dir.as_fd().as_raw_fd();
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
        let mut lines = text.lines();
        let id = lines.find_map(|line| line.strip_prefix("mnt_id:"));
        let id: u64 = id
            .and_then(|id| id.trim().parse().ok())
            .ok_or(ErrorKind::InvalidData)?;
        Ok(Self::all()?.into_iter().find(|mount| mount.id == id))
    }

    /// Whether nothing can be written through it.
    pub fn is_read_only(&self) -> bool {
        let mut all = self.options.split(',').chain(self.super_options.split(','));
        all.any(|option| option == "ro")
    }

    /// One line: `36 35 98:0 /root /place rw,noatime master:1 - ext3 /dev/root rw,errors=continue`,
    /// with any number of words before the `-`.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.split(|&byte| byte == b' ');
        let id = text(words.next()?)?.parse().ok()?;
        let number = text(words.nth(1)?)?;
        let (major, minor) = number.split_once(':')?;
        let (root, place) = (unescaped(words.next()?), unescaped(words.next()?));
        let options = text(words.next()?)?;
        words.find(|&word| word == b"-")?;
        Some(Self {
            id,
            number: (major.parse().ok()?, minor.parse().ok()?),
            root: root.into(),
            place: place.into(),
            options,
            kind: text(words.next()?)?,
            source: unescaped(words.next()?).into(),
            super_options: text(words.next()?)?,
        })
    }
}

/// The path of an open directory; of one that is gone, none that is there.
///
/// # Errors
/// Where /proc does not say.
pub(crate) fn path(dir: impl AsFd) -> io::Result<PathBuf> {
    fs::read_link(Path::new("/proc/self/fd").join(dir.as_fd().as_raw_fd().to_string()))
}

fn text(word: &[u8]) -> Option<String> {
    unescaped(word).into_string().ok()
}

/// A word in which a backslash and three octal digits stand for a byte.
fn unescaped(word: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[3..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_blanks() {
        let line = br"36 35 253:12 / /run/a\040b\134/rootfs rw,nosuid,relatime shared:7 master:1 - ext4 /dev/mapper/snap\0401 ro,errors=continue,stripe=16";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.id, mount.number), (36, (253, 12)));
        assert_eq!(mount.root, Path::new("/"));
        assert_eq!(mount.place, Path::new("/run/a b\\/rootfs"));
        assert_eq!(mount.source, Path::new("/dev/mapper/snap 1"));
        assert_eq!(
            (&*mount.kind, &*mount.options),
            ("ext4", "rw,nosuid,relatime")
        );
        assert_eq!(mount.super_options, "ro,errors=continue,stripe=16");
        assert!(mount.is_read_only());
        for corrupt in [
            &b""[..],
            b"36 35 253:12 / /a rw",
            b"x 35 253:12 / /a rw - t s rw",
        ] {
            assert_eq!(Mount::parse(corrupt), None);
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        for (word, meant) in [
            (r"a\b", r"a\b"),
            (r"\04", r"\04"),
            (r"\777", r"\777"),
            (r"\011", "\t"),
        ] {
            assert_eq!(unescaped(word.as_bytes()), meant);
        }
    }

    #[test]
    fn a_dir_is_in_a_mount_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let open = fs::File::open(dir.path()).unwrap();
        let mount = Mount::of(&open).unwrap().unwrap();
        assert!(dir.path().starts_with(&mount.place), "{mount:?}");
        let own = path(&open).unwrap();
        assert_eq!(own, dir.path().canonicalize().unwrap());
    }
}
