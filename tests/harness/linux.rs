//! Debian's own kernel as a guest, with a busybox of ours in its initramfs.
//!
//! tests/machine.sh brings the kernel and modules: `RUNU_TEST_LINUX` names their directory.

use std::fs;
use std::path::{Path, PathBuf};

/// The directory with Debian's kernel for clouds; `None`, said aloud, where there is none.
pub fn dir() -> Option<PathBuf> {
    named_by("RUNU_TEST_LINUX")
}

/// The directory with Debian's generic kernel, which has 9p, likewise.
pub fn generic_dir() -> Option<PathBuf> {
    named_by("RUNU_TEST_LINUX_GENERIC")
}

fn named_by(variable: &str) -> Option<PathBuf> {
    let dir = std::env::var_os(variable).map(PathBuf::from);
    if dir.is_none() {
        super::skip(&format!(
            "{variable} names no directory with a kernel: tests/machine/tests.sh does"
        ));
    }
    dir
}

/// Offsets in a bzImage's header (Linux's Documentation/arch/x86/boot.rst).
const SETUP_SECTORS: usize = 0x1f1;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
/// The legacy frame of lz4, which Debian's kernel is packed in (lz4_Frame_format.md): its magic
/// number, and what a block holds at most.
const LZ4_LEGACY: u32 = 0x184c_2102;
const LZ4_BLOCK: usize = 8 << 20;

/// The ELF that a bzImage holds.
pub fn vmlinux(bzimage: &[u8]) -> Vec<u8> {
    let word = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    };
    let setup = (usize::from(bzimage[SETUP_SECTORS]) + 1) * SECTOR;
    let start = setup + word(bzimage, PAYLOAD_OFFSET);
    let payload = &bzimage[start..start + word(bzimage, PAYLOAD_LENGTH)];
    assert_eq!(word(payload, 0), LZ4_LEGACY as usize, "packed by lz4");
    let mut elf = Vec::new();
    let mut rest = &payload[4..];
    // The unpacked size follows the last block.
    while rest.len() > 4 {
        let (block, behind) = rest[4..].split_at(word(rest, 0));
        elf.extend(lz4_flex::block::decompress(block, LZ4_BLOCK).unwrap());
        rest = behind;
    }
    assert_eq!(elf.len(), word(rest, 0));
    assert!(elf.starts_with(b"\x7fELF"));
    elf
}

/// Mounts the root that the command line names, as a distribution's does, and goes there. A disk
/// is named by its node, and what is on it finds the nodes too. What is for init is for the one
/// there.
const TO_THE_ROOT: &str = r#"
b=/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs dev /dev
for module in $modules; do $b insmod /$module.ko || echo "no $module"; done
type=ext2
for word in $($b cat /proc/cmdline); do
    case $word in
    root=*) root=${word#*=} ;;
    rootfstype=*) type=${word#*=} ;;
    rootflags=*) flags=${word#*=} ;;
    ro | rw) access=$word ;;
    init=*) init=${word#*=} ;;
    esac
done
$b mkdir /tree
$b mount -t "$type" -o "${flags:+$flags,}$access" "$root" /tree || { echo "no root"; $b poweroff -f; }
case $root in
/dev/*) $b mount --move /dev /tree/dev ;;
*) $b umount /dev ;;
esac
$b umount /proc /sys
exec $b switch_root /tree "$init" "$@"
"#;

/// An initramfs (Linux's Documentation/driver-api/early-userspace/buffer-format.rst): files,
/// all of them programs, and empty directories.
pub struct Initramfs(Vec<u8>);

impl Initramfs {
    /// With busybox, and this script as the first process.
    fn new(init: &str) -> Self {
        let mut archive = Self(Vec::new());
        for dir in ["dev", "proc", "sys"] {
            archive.entry(dir, 0o040_755, &[]);
        }
        let script = format!("#!/busybox sh\n{init}");
        archive.file("init", script.as_bytes());
        archive.file("busybox", &fs::read("/bin/busybox").unwrap());
        archive.file("exit-1", &exit_by_port(1));
        archive
    }

    /// With these modules too, of the kernel's `directory`; the script finds their names in
    /// `modules`, in this order.
    pub fn with_modules(dir: &Path, modules: &[&str], init: &str) -> Self {
        let mut archive = Self::new(&format!("modules='{}'\n{init}", modules.join(" ")));
        for module in modules {
            let name = format!("{module}.ko");
            archive.file(&name, &fs::read(dir.join(&name)).unwrap());
        }
        archive
    }

    /// One that loads these modules and mounts the root that the command line names.
    pub fn to_the_root(dir: &Path, modules: &[&str]) -> Self {
        Self::with_modules(dir, modules, TO_THE_ROOT)
    }

    pub fn dir(&mut self, name: &str) {
        self.entry(name, 0o040_755, &[]);
    }

    pub fn file(&mut self, name: &str, content: &[u8]) {
        self.entry(name, 0o100_755, content);
    }

    /// Writes the whole archive to `path`.
    pub fn save(mut self, path: &Path) {
        self.entry("TRAILER!!!", 0, &[]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.0).unwrap();
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        let inode = self.0.len() as u32;
        let (size, name_size) = (content.len() as u32, name.len() as u32 + 1);
        let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.0.extend(b"070701");
        for field in fields {
            self.0.extend(format!("{field:08x}").bytes());
        }
        for part in [&[name.as_bytes(), b"\0"].concat(), content] {
            self.0.extend(part);
            self.0.resize(self.0.len().next_multiple_of(4), 0);
        }
    }
}

/// A program that ends the machine with `code`: an 8-bit write to port 0x501, which iopl(2)
/// lets the superuser do.
fn exit_by_port(code: u8) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let code: &[u8] = &[
        0xbf, 0x03, 0x00, 0x00, 0x00, // mov edi, 3
        0xb8, 0xac, 0x00, 0x00, 0x00, // mov eax, 172 (iopl)
        0x0f, 0x05, // syscall
        0x66, 0xba, 0x01, 0x05, // mov dx, 0x501
        0xb0, code, // mov al, code
        0xee, // out dx, al
        0x0f, 0x0b, // ud2
    ];
    let size = HEADERS + code.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]); // executable, x86-64, version
    elf.extend((BASE + HEADERS).to_le_bytes()); // entry
    elf.extend(64u64.to_le_bytes()); // program headers
    elf.extend([0; 12]); // section headers, flags
    elf.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]); // sizes, one program header
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]); // load, read and execute
    for field in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(field.to_le_bytes());
    }
    elf.extend(code);
    elf
}
