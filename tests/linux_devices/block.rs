//! Disks: what was written is read again, up to the last block, and a host that has no room is an
//! error like any other disk's.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use vmm::{BlockDevice, Transport};

use crate::guest::{Setup, answer};
use crate::{MIB, much, pattern, sha256, transports};

/// One sector more than whole pages.
const SMALL: usize = 4 * MIB + 512;
/// What the host has room for, of a disk of twice that.
const ROOM: usize = 8 * MIB;

/// /dev/vda is worked on, vdb filled, vdc has no room on the host, vdd is read-only.
const SCRIPT: &str = r#"
for disk in vda vdb vdc vdd; do
    echo "$disk: $(cat /sys/block/$disk/serial) $(cat /sys/block/$disk/size) $(cat /sys/block/$disk/ro)"
done
tool fio --name=work --filename=/dev/vda --thread --direct=1 --ioengine=libaio --iodepth=16 \
    --rw=randwrite --bsrange=4k-512k --size=$bytes --verify=crc32c --verify_fatal=1 \
    --fsync=64 --output=/tmp/fio --eta=never
echo "fio: $?"
tool fio --name=mixed --filename=/dev/vda --thread --ioengine=psync --rw=randrw --bs=4k --io_size=256k \
    --size=$bytes --verify=md5 --verify_fatal=1 --end_fsync=1 --output=/tmp/fio2 --eta=never
echo "mixed: $?"

cat /fill >/dev/vdb
echo "fill: $? $(sync; blockdev --flushbufs /dev/vdb; sha256sum </dev/vdb)"
dd if=/fill of=/dev/vdb bs=512 seek=8193 count=1 2>/tmp/past
echo "past: $? $(grep -o 'No space left' /tmp/past)"

dd if=/pattern of=/dev/vdc bs=64k oflag=direct 2>/tmp/full
echo "full: $? $(grep 'records out' /tmp/full)"
dd if=/dev/vdc bs=64k count=96 iflag=direct 2>/dev/null | cmp -s -n 6291456 - /pattern
echo "before: $?"
dd if=/pattern of=/dev/vdc bs=64k count=1 oflag=direct conv=notrunc 2>/dev/null
echo "again: $?"

dd if=/fill of=/dev/vdd bs=512 count=1 conv=fsync 2>/tmp/ro
echo "ro: $? $(sha256sum </dev/vdd)"

blkdiscard /dev/vda
echo "discard: $?"
blockdev --flushbufs /dev/vda
cmp -s -n $bytes /dev/vda /dev/zero
echo "zeros: $?"
"#;

/// A file system of the host's with so many bytes.
struct Mount(TempDir);

impl Mount {
    fn new(bytes: usize) -> Mount {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={bytes}");
        let mount = ["-t", "tmpfs", "-o", &options, "tmpfs"];
        let mut command = Command::new("mount");
        let status = command.args(mount).arg(dir.path()).status();
        assert!(status.unwrap().success());
        Mount(dir)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn image(dir: &Path, name: &str, len: usize) -> File {
    let options = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .clone();
    let file = options.open(dir.join(name)).unwrap();
    file.set_len(len as u64).unwrap();
    file
}

fn over(transport: Transport) {
    let bytes = much(16 * MIB);
    let script = format!("bytes={bytes}\n{SCRIPT}");
    let Some(mut setup) = Setup::new(transport, &["virtio_blk"], &["fio"], &script) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let full = Mount::new(ROOM);
    let (fill, data) = (pattern(1, SMALL), pattern(2, 2 * ROOM));
    setup.file("fill", &fill);
    setup.file("pattern", &data);
    let images = [
        ("work", image(dir.path(), "work", bytes)),
        ("small", image(dir.path(), "small", SMALL)),
        ("full", image(full.0.path(), "full", 2 * ROOM)),
        ("read-only", image(dir.path(), "read-only", MIB)),
    ];
    images[3].1.write_all_at(&fill[..MIB], 0).unwrap();
    setup.blocks = images
        .iter()
        .map(|(name, image)| BlockDevice {
            name: name.to_string(),
            image: image.try_clone().unwrap(),
            read_only: *name == "read-only",
        })
        .collect();
    let said = setup.start().finish();

    let is = |name, expected: &str| assert_eq!(answer(&said, name).trim(), expected, "{said}");
    is("vda", &format!("work {} 0", bytes / 512));
    is("vdb", "small 8193 0");
    is("vdc", &format!("full {} 0", 2 * ROOM / 512));
    is("vdd", "read-only 2048 1");
    is("fio", "0");
    is("mixed", "0");
    is("fill", &format!("0 {}", sha256(&fill, 1)));
    let past = answer(&said, "past");
    assert!(
        past.starts_with("1 ") && past.contains("No space left"),
        "{said}"
    );
    let written = fs::read(dir.path().join("small")).unwrap();
    assert!(written == fill, "the last block as well, and none behind");

    // Some of the room is the file system's own.
    let records = answer(&said, "full").strip_prefix("1 ").expect(&said);
    let records: usize = records.split('+').next().unwrap().parse().unwrap();
    let kept = records.saturating_sub(1) * (64 << 10);
    assert!((6 * MIB..=ROOM).contains(&kept), "{said}");
    is("before", "0");
    is("again", "0");
    let mut found = vec![0; kept];
    images[2].1.read_exact_at(&mut found, 0).unwrap();
    assert!(found == data[..kept]);

    let ro = answer(&said, "ro");
    assert!(
        ro.starts_with("1 ") && ro.contains(&sha256(&fill[..MIB], 1)),
        "{said}"
    );
    is("discard", "0");
    is("zeros", "0");
    assert_eq!(
        images[0].1.metadata().unwrap().blocks(),
        0,
        "given back to the host"
    );
}

#[test]
fn disks_hold_what_was_written() {
    for transport in transports(Transport::Pci) {
        over(transport);
    }
}
