//! The file system device (virtio 1.2, section 5.11): its requests are FUSE's, and a process beside
//! the monitor answers them.

use std::os::fd::RawFd;

use virtio_bindings::virtio_ids::VIRTIO_ID_FS;
use virtio_queue::Queue;
use vmm_sys_util::eventfd::EventFd;

use super::vhost_user::BackEnd;
use crate::config::ServedShare;
use crate::devices::virtio::device::{EventSource, NeedsReset, Notifications, VirtioDevice};
use crate::error::Error;
use crate::memory::GuestMemory;

/// Requests of high priority, and all others. Linux's have as many pages at most as the second
/// has entries, and no back end that is known takes more entries.
const QUEUE_SIZES: [u16; 1 + REQUEST_QUEUES as usize] = [128, 1024];
/// Queues for requests, behind the one of high priority.
const REQUEST_QUEUES: u32 = 1;
/// Bytes of the tag, which zeros fill.
const TAG: usize = 36;

pub(crate) struct Fs {
    back_end: BackEnd,
    config: Vec<u8>,
}

impl Fs {
    /// # Errors
    /// [`Error::BackEnd`], [`Error::EventFd`].
    pub(crate) fn new(share: ServedShare) -> Result<Fs, Error> {
        let back_end = BackEnd::connect(share.back_end, QUEUE_SIZES.len());
        let back_end = back_end.map_err(|source| Error::BackEnd {
            tag: share.tag.clone(),
            source,
        })?;
        Ok(Fs::with_back_end(back_end, share.tag))
    }

    pub(crate) fn with_back_end(back_end: BackEnd, tag: String) -> Fs {
        let mut config = tag.into_bytes();
        config.resize(TAG, 0);
        config.extend(REQUEST_QUEUES.to_le_bytes());
        Fs { back_end, config }
    }
}

impl VirtioDevice for Fs {
    fn id(&self) -> u32 {
        VIRTIO_ID_FS
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn is_vhost_user(&self) -> bool {
        true
    }

    fn start_back_end(
        &mut self,
        features: u64,
        queues: &[Queue],
        queue_events: &[EventFd],
        memory: &GuestMemory,
    ) -> Result<(), NeedsReset> {
        self.back_end.start(features, queues, queue_events, memory)
    }

    fn reset(&mut self) {
        self.back_end.stop();
    }

    fn process_queue(
        &mut self,
        _: usize,
        _: &mut [Queue],
        _: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        Ok(Notifications::NONE)
    }

    fn event_source(&self) -> Option<EventSource<'_>> {
        Some(self.back_end.event_source())
    }

    fn process_event(
        &mut self,
        _: &mut [Queue],
        _: &GuestMemory,
    ) -> Result<Notifications, NeedsReset> {
        self.back_end.take_calls()
    }

    fn descriptors(&self) -> Vec<RawFd> {
        self.back_end.descriptors()
    }
}
