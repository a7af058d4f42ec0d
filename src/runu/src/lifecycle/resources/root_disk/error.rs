//! Why the rootfs's device cannot be the guest's, or not the host's again.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// One line each, with the path and the cure.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum RootDiskError {
    #[error("its rootfs's device was not opened")]
    NotOpened,
    #[error(
        "{} is copied into memory, since its file system is the guest's, and has more than {max} bytes: make it smaller",
        path.display()
    )]
    TooLarge { path: PathBuf, max: u64 },
    #[error("{}", path.display())]
    Copy { path: PathBuf, source: io::Error },
    #[error("the rootfs {}", rootfs.display())]
    Look { rootfs: PathBuf, source: io::Error },
    #[error("the rootfs was mounted anew while it was looked at: try again")]
    Remounted,
    #[error(
        "the rootfs {} cannot be unmounted by this user, and its device cannot be the guest's: call as root, or say 9p",
        mount_point.display()
    )]
    NotPermitted { mount_point: PathBuf },
    #[error("umount {}", mount_point.display())]
    Unmount { mount_point: PathBuf, source: Errno },
    #[error(
        "the rootfs {} is in use, and its device cannot be the guest's: {by}",
        mount_point.display()
    )]
    InUse { mount_point: PathBuf, by: MountUser },
    #[error("the rootfs's device {}", device.display())]
    Device { device: PathBuf, source: Errno },
    #[error("the rootfs's device {} cannot be the guest's: {by}", device.display())]
    DeviceInUse { device: PathBuf, by: DeviceUser },
    #[error("tmpfs at {}", mount_point.display())]
    Tmpfs { mount_point: PathBuf, source: Errno },
    #[error("the mounts")]
    Mounts(#[source] io::Error),
    #[error(
        "the rootfs {} could not be mounted again from {}",
        mount_point.display(),
        device.display()
    )]
    Remount {
        mount_point: PathBuf,
        device: PathBuf,
        source: Box<RootDiskError>,
    },
    #[error(transparent)]
    Mount(Errno),
    /// What was to be undone could not be undone either.
    #[error("{}; {}", crate::exit::chain(first), crate::exit::chain(second))]
    Both {
        first: Box<RootDiskError>,
        second: Box<RootDiskError>,
    },
}

/// Who keeps a mount from being taken away.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum MountUser {
    #[error("{} is mounted in it", .0.display())]
    Mount(PathBuf),
    #[error("see `fuser -vm {}`", .0.display())]
    Process(PathBuf),
}

/// Who has a device beside the rootfs.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum DeviceUser {
    #[error("it is mounted at {} too", .0.display())]
    Mount(PathBuf),
    #[error("somebody else uses it, in another mount namespace perhaps")]
    Unknown,
}
