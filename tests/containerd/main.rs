//! runu under containerd, as the default runtime of a private one, spoken to
//! over CRI as a kubelet does.
//!
//! `RUNU_SOAK=N` runs the scenario N times in a row (2 by default), `RUNU_CHURN=N` starts and
//! stops so many pods (10); `RUNU_TEST_BIN` names another binary to test.

mod artifact;
mod churn;
mod disk;
mod ends;
mod limits;
mod mixed;
mod neighbours;
mod network;
mod ordinary;
mod pods;
mod probes;
mod unikernel;
mod volumes;

use harness::containerd::{Container, ContainerSpec, ContainerState, Containerd};
use harness::images::{self, Guest};

/// Says a line at the start and at each SIGUSR1, ends with 3 when it is asked to.
const SIDECAR: &str = "trap 'echo asked to stop; exit 3' TERM
trap 'echo still here' USR1
echo $$ >/tmp/pid
echo hello from the sidecar
while :; do sleep 0.05; done";

const MIB: i64 = 1 << 20;

/// The guests that the tests run, as `fixtures/bin` names them.
/// `sleep` says `tick N` once a second.
const SLEEP: Guest = ("sleep", "linux64");
const SPIN: Guest = ("spin", "linux64");
const EXIT: Guest = ("exit", "pvh");
const HELLO: Guest = ("hello", "multiboot1");
/// A web server.
const WEB: Guest = ("web", "linux64");

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Stops a container, twice; it must have ended with `exit_code`.
fn stopped(containerd: &Containerd, container: &Container, exit_code: i32) -> Result {
    containerd.stop(container)?;
    containerd.stop(container)?;
    let status = containerd.status(container)?;
    assert_eq!(status.state(), ContainerState::Exited, "{status:?}");
    assert_eq!(status.exit_code, exit_code, "{status:?}");
    Ok(())
}

fn sidecar() -> ContainerSpec<'static> {
    ContainerSpec {
        name: "sidecar",
        command: &["sh", "-c"],
        args: &[SIDECAR],
        ..Default::default()
    }
}

fn unikernel<'a>(guest: Guest, args: &'a [&'a str]) -> ContainerSpec<'a> {
    ContainerSpec {
        name: "unikernel",
        image: images::unikernel_name(guest),
        args,
        memory_limit: 64 * MIB,
        ..Default::default()
    }
}
