//! The block device beneath the rootfs, where a snapshotter gives each container a file system on
//! one of its own: what a guest may have as its disk.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::block::{Block, BlockConfig, block, open_node};
use super::file_fault::{BlockFault, RootfsError};
use super::guest_config::{GuestConfig, RootChoice};
use super::source::{Source, Sourced};
use bundle::{BlockNode, Mount, Rootfs};
use guest::Root;

/// What the container sees of it.
pub const PATH: &str = "/";

/// Opens the rootfs's own device for reading, where the root is to be on a disk and no disk
/// is named for it.
pub(super) fn find(
    rootfs: &Rootfs,
    read_only: bool,
    guest_config: &GuestConfig,
) -> (Option<Block>, Option<File>) {
    let Some(Sourced {
        value: choice,
        origin,
    }) = &guest_config.rootfs
    else {
        return (None, None);
    };
    let is_for_a_disk = matches!(
        choice,
        RootChoice::Exactly(Root::Block) | RootChoice::Container
    );
    if !is_for_a_disk
        || guest_config
            .blocks
            .iter()
            .any(|choice| choice.device.is_none())
    {
        return (None, None);
    }
    let (block, file) = find_disk(rootfs, read_only, origin.clone());
    (Some(block), file)
}

fn find_disk(rootfs: &Rootfs, read_only: bool, origin: Source) -> (Block, Option<File>) {
    let mount = rootfs.mount().map_err(|e| RootfsError::Unknown(e.into()));
    let opened = mount
        .and_then(|mount| node(mount.as_ref(), read_only))
        .and_then(|node| match open_node(&node) {
            Ok(file) => Ok((file, node)),
            Err(error) => Err(RootfsError::Node(error)),
        });
    let path = PathBuf::from(PATH);
    match opened {
        Ok((file, node)) => {
            let value = path;
            let config = BlockConfig {
                device: None,
                image: Sourced { value, origin },
            };
            block(&config, Ok(file), Some(&node), node.read_only)
        }
        Err(rootfs) => {
            let fault = BlockFault::NoRootDisk {
                origin: origin.clone(),
                rootfs,
            };
            let nothing = Block {
                device: None,
                path,
                origin,
                size: 0,
                number: None,
                read_only,
                fault: Some(fault),
            };
            (nothing, None)
        }
    }
}

/// The device that the rootfs is all of, if it is a mount of its own.
///
/// # Errors
/// What the rootfs is instead.
fn node(mount: Option<&Mount>, read_only: bool) -> Result<BlockNode, RootfsError> {
    let Some(mount) = mount else {
        return Err(RootfsError::Directory);
    };
    let (major, minor) = mount.number;
    // Those without a device have numbers of this kind (Linux, get_anon_bdev).
    if major == 0 {
        return Err(RootfsError::NoDevice(mount.kind.clone()));
    }
    if mount.root != Path::new("/") {
        return Err(RootfsError::DirectoryOf { major, minor });
    }
    Ok(BlockNode {
        path: PATH.into(),
        major,
        minor,
        read_only: read_only || mount.is_read_only(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(number: (u32, u32), root: &str, kind: &str, super_options: &str) -> Mount {
        Mount {
            number,
            root: root.into(),
            kind: kind.to_owned(),
            options: "rw,relatime".to_owned(),
            super_options: super_options.to_owned(),
            ..Mount::default()
        }
    }

    #[test]
    fn a_whole_file_system_on_a_device_is_a_disk() {
        for (is_read_only, super_options, expected) in [
            (false, "rw", false),
            (true, "rw", true),
            (false, "ro", true),
        ] {
            let mount = mount((253, 3), "/", "ext4", super_options);
            let node = node(Some(&mount), is_read_only).unwrap();
            assert_eq!((node.major, node.minor), (253, 3));
            assert_eq!(node.read_only, expected);
        }
    }

    #[test]
    fn all_else_is_refused_by_what_it_is() {
        let refused = |mount: Option<&Mount>| node(mount, false).unwrap_err().to_string();
        let dir = refused(None);
        assert!(dir.contains("a directory"), "{dir}");
        for kind in ["overlay", "btrfs", "tmpfs"] {
            let message = refused(Some(&mount((0, 41), "/", kind, "rw")));
            assert!(message.contains(kind), "{message}");
        }
        let message = refused(Some(&mount((8, 1), "/var/x", "ext4", "rw")));
        assert_eq!(message, "a directory of block device 8:1");
    }
}
