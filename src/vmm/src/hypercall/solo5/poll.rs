//! Waiting for packets or for time to pass.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::devices::Devices;
use crate::console::Output;
use crate::hypercall::arguments::Arguments;
use crate::hypercall::fault::HypercallFault;

/// `hvt_hc_poll`: timeout in nanoseconds; the set of the handles that are ready, and how
/// many they are.
///
/// Returns early where the guest is to stop.
pub(super) fn poll(
    args: &Arguments<'_>,
    devices: &Devices,
    output: &Output,
) -> Result<(), HypercallFault> {
    let timeout = Duration::from_nanos(args.word(0)?);
    let ready = wait(timeout, devices, output);
    args.put_word(8, ready)?;
    args.put_int(16, ready.count_ones().cast_signed())
}

/// The handles of the network devices that have a packet, one bit each.
fn wait(timeout: Duration, devices: &Devices, output: &Output) -> u64 {
    let begin = Instant::now();
    let (handles, mut fds): (Vec<u64>, Vec<PollFd<'_>>) = devices
        .to_poll()
        .map(|(handle, fd)| (handle, PollFd::new(fd, PollFlags::POLLIN)))
        .unzip();
    loop {
        let left = timeout.saturating_sub(begin.elapsed());
        match ppoll(&mut fds, Some(TimeSpec::from_duration(left)), None) {
            // The signal says either "stop" or nothing.
            Err(Errno::EINTR) if !output.is_stopped() => {}
            Err(_) => return 0,
            Ok(_) => break,
        }
    }
    let ready = |(handle, fd): (&u64, &PollFd<'_>)| match fd.any() {
        Some(true) => 1 << handle,
        _ => 0,
    };
    handles.iter().zip(&fds).map(ready).sum()
}
