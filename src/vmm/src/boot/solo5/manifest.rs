//! The manifest: the devices that a kernel declares (Solo5, include/mft_abi.h and
//! tenders/common/mft.c). A device's handle is its entry's index.

use std::fmt;

use crate::bits::low;

/// MFT_VERSION and MFT_MAX_ENTRIES.
const VERSION: u32 = 1;
const MAX_ENTRIES: usize = 64;

/// `struct mft`: version and count, then the entries.
const HEADER_SIZE: usize = 8;
/// `struct mft_entry`, and the offsets of its fields.
const ENTRY_SIZE: usize = 104;
const NAME_SIZE: usize = 68;
const TYPE: usize = 68;
const CAPACITY: usize = 72;
const BLOCK_SIZE_AT: usize = 80;
const MAC: usize = 72;
const MTU: usize = 78;
const ATTACHED: usize = 96;

/// `enum mft_type`.
const BLOCK: u32 = 1;
const NET: u32 = 2;
const RESERVED_FIRST: u32 = 1 << 30;

/// Bytes of a block; the ABI lets the monitor choose, and all choose this.
pub const BLOCK_SIZE: u64 = 512;

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A disk, by blocks of [`BLOCK_SIZE`] bytes.
    Block,
    /// A network, by Ethernet packets.
    Net,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Block => "block device",
            Kind::Net => "network device",
        })
    }
}

/// What a device is like, once it is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attachment {
    /// A disk.
    Block {
        /// Bytes.
        capacity: u64,
    },
    /// A network.
    Net {
        /// The guest's Ethernet address.
        mac: [u8; 6],
        /// The most bytes of a packet, without the Ethernet header.
        mtu: u16,
    },
}

/// A device that the kernel declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Block or net: names are unique for each.
    pub kind: Kind,
    /// ASCII letters and digits.
    pub name: String,
    /// What it is like; `None` until it is attached.
    pub attached: Option<Attachment>,
}

/// The devices in the order of the manifest; the first one's handle is 1.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub devices: Vec<Device>,
}

impl Manifest {
    /// Reads a manifest, which must be all of `bytes`.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence. Solo5's own tools make none that is
    /// refused here.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Manifest, &'static str> {
        let (version, count) = match (word(bytes, 0), word(bytes, 4)) {
            (Some(version), Some(count)) => (version, count as usize),
            _ => return Err("it is cut short"),
        };
        if version != VERSION {
            return Err("it is of another version than 1");
        }
        if count == 0 || count > MAX_ENTRIES {
            return Err("it has not 1 to 64 entries");
        }
        let (entries, rest) = bytes[HEADER_SIZE..].as_chunks::<ENTRY_SIZE>();
        if entries.len() != count || !rest.is_empty() {
            return Err("its size is not that of its entries");
        }
        if word(&entries[0], TYPE) != Some(RESERVED_FIRST) || entries[0][0] != 0 {
            return Err("its first entry is not the reserved one");
        }
        let devices = entries[1..].iter().map(device);
        let devices: Vec<Device> = devices.collect::<Result<_, _>>()?;
        for (i, device) in devices.iter().enumerate() {
            let is_same = |other: &Device| (other.kind, &other.name) == (device.kind, &device.name);
            if devices[..i].iter().any(is_same) {
                return Err("two devices have one name");
            }
        }
        Ok(Manifest { devices })
    }

    /// The manifest as the kernel reads it: what is attached is there, all else is zero.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = low(1 + self.devices.len() as u64);
        let mut bytes = [VERSION, count].map(u32::to_le_bytes).concat();
        let mut first = [0; ENTRY_SIZE];
        first[TYPE..TYPE + 4].copy_from_slice(&RESERVED_FIRST.to_le_bytes());
        bytes.extend(first);
        bytes.extend(self.devices.iter().flat_map(entry));
        bytes
    }

    /// The device of this kind and name, and its handle.
    pub(crate) fn find(&mut self, kind: Kind, name: &str) -> Option<(u64, &mut Device)> {
        let devices = (1..).zip(&mut self.devices);
        { devices }.find(|(_, d)| d.kind == kind && d.name == name)
    }
}

fn device(entry: &[u8; ENTRY_SIZE]) -> Result<Device, &'static str> {
    let kind = match word(entry, TYPE) {
        Some(BLOCK) => Kind::Block,
        Some(NET) => Kind::Net,
        _ => return Err("it has a device of an unknown type"),
    };
    if entry[ATTACHED] != 0 {
        return Err("a device claims to be attached");
    }
    let name = &entry[..NAME_SIZE];
    let len = name.iter().position(|&byte| byte == 0);
    let name = len.map(|len| &name[..len]).unwrap_or_default();
    if name.is_empty() || !name.iter().all(u8::is_ascii_alphanumeric) {
        return Err("a device's name is not 1 to 67 letters and digits");
    }
    Ok(Device {
        kind,
        name: String::from_utf8_lossy(name).into_owned(),
        attached: None,
    })
}

fn entry(device: &Device) -> [u8; ENTRY_SIZE] {
    let mut entry = [0; ENTRY_SIZE];
    let mut put = |at: usize, bytes: &[u8]| entry[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, device.name.as_bytes());
    let kind = match device.kind {
        Kind::Block => BLOCK,
        Kind::Net => NET,
    };
    put(TYPE, &kind.to_le_bytes());
    match device.attached {
        None => {}
        Some(Attachment::Block { capacity }) => {
            put(CAPACITY, &capacity.to_le_bytes());
            put(BLOCK_SIZE_AT, &BLOCK_SIZE.to_le_bytes()[..2]);
        }
        Some(Attachment::Net { mac, mtu }) => {
            put(MAC, &mac);
            put(MTU, &mtu.to_le_bytes());
        }
    }
    put(ATTACHED, &[device.attached.is_some().into()]);
    entry
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(devices: &[(Kind, &str)]) -> Manifest {
        let device = |&(kind, name): &(Kind, &str)| Device {
            kind,
            name: name.to_owned(),
            attached: None,
        };
        Manifest {
            devices: devices.iter().map(device).collect(),
        }
    }

    const BOTH: [(Kind, &str); 2] = [(Kind::Block, "storage"), (Kind::Net, "service")];

    #[test]
    fn a_manifest_is_read_as_it_is_written() {
        let both = manifest(&BOTH);
        let bytes = both.bytes();
        assert_eq!(bytes.len(), 8 + 3 * 104);
        assert_eq!(Manifest::parse(&bytes), Ok(both));
        assert_eq!(
            Manifest::parse(&manifest(&[]).bytes()),
            Ok(Manifest::default())
        );
        let max: Vec<String> = (1..64).map(|n| format!("net{n}")).collect();
        let max: Vec<(Kind, &str)> = max.iter().map(|name| (Kind::Net, &**name)).collect();
        assert_eq!(Manifest::parse(&manifest(&max).bytes()), Ok(manifest(&max)));
    }

    #[test]
    fn what_is_attached_stands_where_the_bindings_look() {
        let mut both = manifest(&BOTH);
        let (handle, disk) = both.find(Kind::Block, "storage").unwrap();
        disk.attached = Some(Attachment::Block { capacity: 1 << 33 });
        assert_eq!(handle, 1);
        let (handle, net) = both.find(Kind::Net, "service").unwrap();
        let mac = [2, 0, 0, 0, 0, 7];
        net.attached = Some(Attachment::Net { mac, mtu: 1500 });
        assert_eq!(handle, 2);
        assert!(both.find(Kind::Net, "storage").is_none());
        let bytes = both.bytes();
        let (disk, net) = (&bytes[8 + 104..][..104], &bytes[8 + 208..]);
        assert_eq!(disk[72..82], [0, 0, 0, 0, 2, 0, 0, 0, 0, 2]);
        assert_eq!(net[72..80], [2, 0, 0, 0, 0, 7, 0xdc, 5]);
        assert_eq!((disk[96], net[96]), (1, 1));
    }

    #[test]
    fn every_rule_of_the_abi_is_held_to() {
        let good = manifest(&BOTH).bytes();
        let entry = |n: usize| 8 + 104 * n;
        let corrupt: [(usize, &[u8], &str); 10] = [
            (0, &[2], "version"),
            (4, &[0], "1 to 64"),
            (4, &[65], "1 to 64"),
            (4, &[255, 255, 255, 255], "1 to 64"),
            (4, &[2], "size"),
            (entry(0), b"x", "reserved"),
            (entry(1) + 68, &[3], "unknown type"),
            (entry(1), &[0], "name"),
            (entry(1), b"a.b", "name"),
            (entry(2) + 96, &[1], "attached"),
        ];
        for (at, bytes, told) in corrupt {
            let mut manifest = good.clone();
            manifest[at..at + bytes.len()].copy_from_slice(bytes);
            let fault = Manifest::parse(&manifest).unwrap_err();
            assert!(fault.contains(told), "{fault} for {told}");
        }
        let mut endless = good.clone();
        endless[entry(1)..entry(1) + 68].fill(b'a');
        assert!(Manifest::parse(&endless).is_err());
        for len in 0..good.len() {
            assert!(Manifest::parse(&good[..len]).is_err(), "{len} bytes");
        }
        let twins = manifest(&[(Kind::Net, "a"), (Kind::Block, "a"), (Kind::Net, "a")]);
        let fault = Manifest::parse(&twins.bytes()).unwrap_err();
        assert!(fault.contains("one name"), "{fault}");
    }
}
