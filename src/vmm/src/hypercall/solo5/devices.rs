//! The devices that a kernel's manifest declares, and what is behind them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::block::Block;
use super::net::Net;
use crate::boot::solo5::manifest::{Attachment, Kind, Manifest};
use crate::config::{BlockDevice, NetDevice};
use crate::disk::Disk;
use crate::error::Error;

enum Device {
    Block(Block),
    Net(Net),
}

/// By handle: the first one's is 1.
#[derive(Default)]
pub(crate) struct Devices(Vec<Device>);

impl Devices {
    /// Attaches devices to a manifest, and notes there what each is like.
    ///
    /// # Errors
    /// For a device that is declared and not given or given and not declared; for a block
    /// device that is no regular file of whole blocks; for a descriptor that cannot be made
    /// non-blocking.
    pub(crate) fn attach(
        manifest: &mut Manifest,
        blocks: Vec<BlockDevice>,
        nets: Vec<NetDevice>,
    ) -> Result<Devices, Error> {
        let mut devices = Vec::new();
        for block in blocks {
            let name = block.name.clone();
            let disk = Disk::open(block)?;
            let capacity = disk.capacity;
            let attachment = Attachment::Block { capacity };
            devices.push((
                attach(manifest, Kind::Block, name, attachment)?,
                Device::Block(Block(disk)),
            ));
        }
        for net in nets {
            let attachment = Attachment::Net {
                mac: net.mac,
                mtu: net.mtu,
            };
            let handle = attach(manifest, Kind::Net, net.name.clone(), attachment)?;
            devices.push((handle, Device::Net(Net::open(net)?)));
        }
        if let Some(device) = manifest.devices.iter().find(|d| d.attached.is_none()) {
            return Err(Error::NotAttached {
                kind: device.kind,
                name: device.name.clone(),
            });
        }
        devices.sort_by_key(|(handle, _)| *handle);
        Ok(Devices(devices.into_iter().map(|(_, d)| d).collect()))
    }

    pub(crate) fn block(&self, handle: u64) -> Option<&Block> {
        match self.0.get(index(handle)?)? {
            Device::Block(block) => Some(block),
            Device::Net(_) => None,
        }
    }

    pub(crate) fn net(&mut self, handle: u64) -> Option<&mut Net> {
        match self.0.get_mut(index(handle)?)? {
            Device::Net(net) => Some(net),
            Device::Block(_) => None,
        }
    }

    /// The network devices that may get packets yet, with their handles.
    pub(crate) fn to_poll(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        let devices = (1..).zip(&self.0);
        devices.filter_map(|(handle, device)| match device {
            Device::Net(net) if !net.is_closed => Some((handle, net.packets.as_fd())),
            _ => None,
        })
    }

    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let descriptor = |device: &Device| match device {
            Device::Block(block) => block.0.image.as_raw_fd(),
            Device::Net(net) => net.packets.as_raw_fd(),
        };
        self.0.iter().map(descriptor).collect()
    }
}

/// Notes in the manifest what a device is like; gives its handle.
fn attach(
    manifest: &mut Manifest,
    kind: Kind,
    name: String,
    attachment: Attachment,
) -> Result<u64, Error> {
    match manifest.find(kind, &name) {
        Some((handle, device)) if device.attached.is_none() => {
            device.attached = Some(attachment);
            Ok(handle)
        }
        _ => Err(Error::NotDeclared { kind, name }),
    }
}

fn index(handle: u64) -> Option<usize> {
    usize::try_from(handle.checked_sub(1)?).ok()
}
