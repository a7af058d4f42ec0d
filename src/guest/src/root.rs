//! Where a guest finds its root file system.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The root that a guest is told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// None: what the guest has of its own.
    #[default]
    None,
    /// The files in its initrd.
    Initrd,
    /// The container's tree, by 9P, with the tag [`TAG`].
    #[serde(rename = "9p")]
    P9,
    /// The same by virtio-fs.
    Virtiofs,
    /// Its first block device.
    Block,
}

/// What a guest finds the container's tree by. Unikraft's kernels look for this one if they
/// are built to mount it by themselves.
pub const TAG: &str = "fs0";
/// What Hermit's kernels find it by: a tag is where they mount it, and of a tree for `/` they mount
/// each directory (hermit-os/kernel, src/fs/fuse.rs).
pub const HERMIT_TAG: &str = "/";

impl Root {
    /// All names, for an error's line.
    pub const NAMED: &str = "9p, virtiofs, initrd, block or none";

    pub fn named(name: &str) -> Option<Self> {
        let all = [
            Self::None,
            Self::Initrd,
            Self::P9,
            Self::Virtiofs,
            Self::Block,
        ];
        all.into_iter().find(|root| root.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Initrd => "initrd",
            Self::P9 => "9p",
            Self::Virtiofs => "virtiofs",
            Self::Block => "block",
        }
    }

    /// Whether a guest is told of none.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootParams, Family, KernelTraits, command_line};

    fn line(family: Family, traits: Option<&KernelTraits>, root: Root, read_only: bool) -> String {
        let args = ["/bin/app".to_owned(), "a".to_owned()];
        let params = BootParams {
            args: &args,
            initrd: true,
            root,
            read_only,
            ..BootParams::default()
        };
        command_line(family, traits, &params).unwrap()
    }

    #[test]
    fn names_are_the_annotations() {
        for name in ["none", "initrd", "9p", "virtiofs", "block"] {
            let root = Root::named(name).unwrap();
            assert_eq!(root.to_string(), name);
            assert_eq!(serde_json::to_string(&root).unwrap(), format!("{name:?}"));
        }
        assert_eq!(Root::named("share"), None);
    }

    #[test]
    fn unikraft_mounts_by_what_its_release_reads() {
        let unikraft = |release: Option<&str>| KernelTraits {
            release: release.map(str::to_owned),
            reads_parameters: true,
            reads_mounts: true,
            unpacks_initrd: true,
            ..KernelTraits::new(Family::Unikraft)
        };
        for (release, root, parameters) in [
            (None, Root::P9, "vfs.rootfs=9pfs vfs.rootdev=fs0 -- "),
            (Some("0.15.0"), Root::P9, "vfs.fstab=fs0:/:9pfs -- "),
            (Some("0.17.0"), Root::P9, "vfs.fstab=fs0:/:9pfs -- "),
            (
                Some("0.21.0"),
                Root::Virtiofs,
                "vfs.fstab=fs0:/:virtiofs -- ",
            ),
            (None, Root::Initrd, ""),
            (
                Some("0.15.0"),
                Root::Initrd,
                "vfs.fstab=initrd0:/:initrd -- ",
            ),
            (
                Some("0.16.1"),
                Root::Initrd,
                "vfs.fstab=initrd0:/:extract -- ",
            ),
            (
                Some("0.16.3"),
                Root::Initrd,
                "vfs.fstab=initrd0:/:extract::ramfs=2 -- ",
            ),
            (Some("0.17"), Root::None, ""),
        ] {
            let line = line(Family::Unikraft, Some(&unikraft(release)), root, false);
            assert_eq!(
                line,
                format!("/bin/app {parameters}a"),
                "{release:?} {root}"
            );
        }
        // One that was built without it would take it for an argument.
        let deaf = KernelTraits::new(Family::Unikraft);
        let params = line(Family::Unikraft, Some(&deaf), Root::P9, false);
        assert_eq!(params, "/bin/app a");
    }

    #[test]
    fn osv_is_told_before_its_program() {
        let served = line(Family::Osv, None, Root::Virtiofs, false);
        assert_eq!(served, "--rootfs=virtiofs /bin/app a");
        assert_eq!(line(Family::Osv, None, Root::Block, false), "/bin/app a");
    }

    #[test]
    fn linux_is_told_its_root_and_runs_the_roots_program() {
        let line = |root, read_only| line(Family::Linux, None, root, read_only);
        let share = line(Root::P9, false);
        let words = "root=fs0 rootfstype=9p \
                     rootflags=trans=virtio,version=9p2000.L,msize=262144,cache=mmap rw \
                     init=/bin/app -- a";
        assert!(share.ends_with(words), "{share}");
        let served = line(Root::Virtiofs, false);
        let words = " root=fs0 rootfstype=virtiofs rw init=/bin/app -- a";
        assert!(served.ends_with(words), "{served}");
        let block = line(Root::Block, false);
        assert!(line(Root::Block, true).contains(" root=/dev/vda ro init="));
        assert!(
            block.ends_with(" root=/dev/vda rw init=/bin/app -- a"),
            "{block}"
        );
        let initrd = line(Root::Initrd, false);
        assert!(initrd.ends_with(" rdinit=/bin/app -- a"), "{initrd}");
        assert!(
            !initrd.contains("root=") && !initrd.contains(" rw"),
            "{initrd}"
        );
    }
}
