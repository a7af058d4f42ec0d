//! The rootfs's own device, taken from the host to be the guest's disk.
//!
//! Two kernels with one file system break it: `create` takes the host's mount away, claims the
//! device, and mounts a small empty tmpfs in its place, for the container around the monitor to
//! live in. If `create` fails, all is as it was. Once there is a guest, the host mounts the device
//! no more by itself: what is on it is the guest's word, and the host's kernel would read it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::lifecycle::resources::root_disk::error::{DeviceUser, MountUser, RootDiskError};
use bundle::{Mount, Rootfs};

/// The tmpfs's source, by which `delete` knows it.
const SOURCE: &str = "runu";

/// How long others may have it in use that only look at it: a container that is made just now has
/// a copy of all mounts for a moment.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A rootfs that was taken away.
#[derive(Debug)]
pub(in crate::lifecycle) struct Unmounted {
    /// How it was mounted.
    mount: Mount,
    /// The user and group that the rootfs belongs to: root, as the container has it.
    owner: (u32, u32),
    /// Open, so that a loop device that goes with its mount stays for as long as it may be needed.
    device: File,
}

/// Takes the file system at `rootfs`, on the open `device`, away from the host; gives the device
/// for the guest alone.
///
/// # Errors
/// What keeps the host from letting it go, or the guest from having it alone; all is as it was
/// then.
pub(in crate::lifecycle) fn take(
    rootfs: &Path,
    device: File,
    read_only: bool,
) -> Result<(File, Unmounted), RootDiskError> {
    let unmounted = Unmounted::look(rootfs, device)?;
    retry_while_busy(|| umount2(&unmounted.mount.place, MntFlags::UMOUNT_NOFOLLOW))
        .map_err(|e| unmounted.unmount_error(e))?;
    let claimed = claim(&unmounted.device, read_only)
        .map_err(|e| unmounted.claim_error(e))
        .and_then(|image| unmounted.mount_tmpfs().map(|()| image));
    match claimed {
        Ok(image) => Ok((image, unmounted)),
        Err(first) => match unmounted.remount() {
            Ok(()) => Err(first),
            Err(second) => Err(RootDiskError::Both {
                first: Box::new(first),
                second: Box::new(second),
            }),
        },
    }
}

/// Takes away what [`take`] has put at `rootfs`, if it is there.
///
/// # Errors
/// What umount(2) says.
pub(in crate::lifecycle) fn clear(rootfs: &Path) -> Result<(), RootDiskError> {
    // The bundle may be gone by now.
    let Ok(dir) = Rootfs::open(rootfs) else {
        return Ok(());
    };
    let mount = dir.mount().map_err(RootDiskError::Mounts)?;
    drop(dir);
    match mount.filter(is_ours) {
        // Whoever looks into it keeps an empty directory.
        Some(Mount { place, .. }) => {
            let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
            umount2(&place, flags).map_err(|source| RootDiskError::Unmount {
                mount_point: place,
                source,
            })
        }
        None => Ok(()),
    }
}

fn is_ours(mount: &Mount) -> bool {
    mount.kind == "tmpfs" && mount.source == Path::new(SOURCE)
}

impl Unmounted {
    /// How the rootfs is mounted, if it is still what was judged.
    fn look(rootfs: &Path, device: File) -> Result<Self, RootDiskError> {
        let failed = |source: io::Error| RootDiskError::Look {
            rootfs: rootfs.to_owned(),
            source,
        };
        let number = device.metadata().map_err(failed)?.rdev();
        let mount = Rootfs::open(rootfs).and_then(|dir| dir.mount());
        let is_it = |mount: &Mount| {
            let (major, minor) = mount.number;
            libc::makedev(major, minor) == number && mount.root == Path::new("/")
        };
        let mount = mount.map_err(failed)?.filter(is_it);
        let mount = mount.ok_or(RootDiskError::Remounted)?;
        let metadata = fs::metadata(rootfs).map_err(failed)?;
        let owner = (metadata.uid(), metadata.gid());
        Ok(Self {
            mount,
            owner,
            device,
        })
    }

    /// Why the rootfs cannot be unmounted.
    fn unmount_error(&self, errno: Errno) -> RootDiskError {
        let mount_point = self.mount.place.clone();
        match errno {
            Errno::EBUSY => {}
            // The latter where the mount has come from a namespace above (mount_namespaces(7)).
            Errno::EPERM | Errno::EINVAL => return RootDiskError::NotPermitted { mount_point },
            source => {
                return RootDiskError::Unmount {
                    mount_point,
                    source,
                };
            }
        }
        let all = Mount::all().unwrap_or_default();
        let is_in_it = |other: &&Mount| {
            other.id != self.mount.id && other.place.starts_with(&self.mount.place)
        };
        let by = all.iter().find(is_in_it).map_or_else(
            || MountUser::Process(mount_point.clone()),
            |other| MountUser::Mount(other.place.clone()),
        );
        RootDiskError::InUse { mount_point, by }
    }

    /// Why the device cannot be the guest's.
    fn claim_error(&self, errno: Errno) -> RootDiskError {
        let device = self.mount.source.clone();
        if errno != Errno::EBUSY {
            return RootDiskError::Device {
                device,
                source: errno,
            };
        }
        let all = Mount::all().unwrap_or_default();
        let mut others = all.iter().filter(|other| other.number == self.mount.number);
        let by = others.next().map_or(DeviceUser::Unknown, |other| {
            DeviceUser::Mount(other.place.clone())
        });
        RootDiskError::DeviceInUse { device, by }
    }

    /// Mounts an empty file system in its place, with room for what others are mounted on.
    fn mount_tmpfs(&self) -> Result<(), RootDiskError> {
        let (user, group) = self.owner;
        let options = format!("mode=755,size=1m,nr_inodes=4096,uid={user},gid={group}");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let (source, kind) = (Some(SOURCE), Some("tmpfs"));
        mount(source, &self.mount.place, kind, flags, Some(&*options)).map_err(|source| {
            RootDiskError::Tmpfs {
                mount_point: self.mount.place.clone(),
                source,
            }
        })
    }

    /// Mounts the device again as it was; nobody has it open for himself alone any more.
    ///
    /// # Errors
    /// What keeps it from being mounted.
    pub(in crate::lifecycle) fn remount(&self) -> Result<(), RootDiskError> {
        let Mount {
            place,
            kind,
            source,
            ..
        } = &self.mount;
        let failed = |error| RootDiskError::Remount {
            mount_point: place.clone(),
            device: source.clone(),
            source: Box::new(error),
        };
        clear(place).map_err(failed)?;
        let (flags, data) = flags_and_data(&self.mount);
        retry_while_busy(|| mount(Some(source), place, Some(&**kind), flags, Some(&*data)))
            .map_err(|errno| failed(RootDiskError::Mount(errno)))
    }
}

/// Opens the device, which nobody else has mounted or opened so (open(2), O_EXCL).
fn claim(device: &File, read_only: bool) -> nix::Result<File> {
    let open = || {
        File::options()
            .read(true)
            .write(!read_only)
            .custom_flags(libc::O_EXCL)
            // The very same one, whatever its node is by now (proc_pid_fd(5)).
            .open(format!("/proc/self/fd/{}", device.as_raw_fd()))
            .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))
    };
    let image = retry_while_busy(open)?;
    // What was read through the device's node while the file system was mounted may be older than
    // what the file system has written since.
    posix_fadvise(&image, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    Ok(image)
}

/// Does it again while somebody is in the way, for [`TIMEOUT`].
fn retry_while_busy<T>(mut act: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match act() {
            Err(Errno::EBUSY) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done,
        }
    }
}

/// What mount(2) is to be told for a file system to be mounted so once more: its flags, and what
/// is the file system's own.
fn flags_and_data(mount: &Mount) -> (MsFlags, String) {
    let of_mount = mount.options.split(',').filter_map(flag);
    let of_both = mount.super_options.split(',').filter_map(flag);
    let mut flags: MsFlags = of_mount.chain(of_both).collect();
    if !flags.intersects(MsFlags::MS_RELATIME | MsFlags::MS_NOATIME) {
        flags |= MsFlags::MS_STRICTATIME;
    }
    let own = mount.super_options.split(',');
    // SELinux's word tells that there are labels, and cannot be asked for.
    let own = own.filter(|option| flag(option).is_none() && !matches!(*option, "rw" | "seclabel"));
    (flags, own.collect::<Vec<_>>().join(","))
}

/// An option that is a flag of mount(2), as the kernel shows it (Linux, fs/proc_namespace.c).
fn flag(option: &str) -> Option<MsFlags> {
    Some(match option {
        "ro" => MsFlags::MS_RDONLY,
        "nosuid" => MsFlags::MS_NOSUID,
        "nodev" => MsFlags::MS_NODEV,
        "noexec" => MsFlags::MS_NOEXEC,
        "noatime" => MsFlags::MS_NOATIME,
        "nodiratime" => MsFlags::MS_NODIRATIME,
        "relatime" => MsFlags::MS_RELATIME,
        "sync" => MsFlags::MS_SYNCHRONOUS,
        "dirsync" => MsFlags::MS_DIRSYNC,
        "lazytime" => MsFlags::MS_LAZYTIME,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &str, super_options: &str) -> (MsFlags, String) {
        flags_and_data(&Mount {
            options: options.to_owned(),
            super_options: super_options.to_owned(),
            ..Mount::default()
        })
    }

    #[test]
    fn what_was_mounted_is_mounted_so_again() {
        let relatime = MsFlags::MS_RELATIME;
        assert_eq!(parsed("rw,relatime", "rw"), (relatime, String::new()));
        let (flags, data) = parsed(
            "ro,nosuid,noatime",
            "rw,seclabel,lazytime,errors=continue,discard",
        );
        let expected =
            MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NOATIME | MsFlags::MS_LAZYTIME;
        assert_eq!(flags, expected);
        assert_eq!(data, "errors=continue,discard");
        assert_eq!(
            parsed("rw", "ro").0,
            MsFlags::MS_RDONLY | MsFlags::MS_STRICTATIME
        );
    }
}
