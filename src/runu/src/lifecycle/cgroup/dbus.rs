//! The D-Bus socket over which systemd is asked for scopes.
//!
//! libcgroups 0.7 waits 10 s for every answer and then asks again, up to seven times
//! (`systemd::manager::Manager::new`). Here the whole question has that time once.

use std::env;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use libcgroups::common::{AnyCgroupManager, CreateCgroupSetupError};
use libcgroups::systemd::manager::SystemdManagerError;

use crate::lifecycle::user;

/// How long systemd may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a cgroup manager that has to ask systemd for its cgroup.
///
/// # Errors
/// The manager's, as a text; where it is systemd that cannot be reached, or gives no
/// answer, with the socket and the cure. A question without an answer is left behind in
/// its thread: let the process end.
pub(in crate::lifecycle) fn ask(
    make: impl FnOnce() -> Result<AnyCgroupManager, CreateCgroupSetupError> + Send + 'static,
) -> Result<AnyCgroupManager, String> {
    let (sender, answer) = mpsc::channel();
    let thread = thread::spawn(move || {
        // Nobody waits for an answer that comes late.
        let _ = sender.send(make());
    });
    let Ok(answer) = answer.recv_timeout(TIMEOUT) else {
        let why = format!("no answer in {} s", TIMEOUT.as_secs());
        return Err(unreachable(&why));
    };
    // It has nothing more to do: a thread less for the forks to come.
    let _ = thread.join();
    answer.map_err(|error| match error {
        CreateCgroupSetupError::Systemd(SystemdManagerError::SystemdClient(why)) => {
            unreachable(&why.to_string())
        }
        other => other.to_string(),
    })
}

fn unreachable(why: &str) -> String {
    format!("cannot reach systemd over D-Bus: {why}; {}", cure())
}

/// What to change, by the socket that libcgroups uses (`DbusConnection::new_system` and
/// `new_session`).
fn cure() -> String {
    let (variable, usual, service) = match user::is_machines_root() {
        true => (
            "DBUS_SYSTEM_BUS_ADDRESS",
            "/run/dbus/system_bus_socket".to_owned(),
            "dbus.service",
        ),
        false => (
            "DBUS_SESSION_BUS_ADDRESS",
            match env::var("XDG_RUNTIME_DIR") {
                Ok(dir) => format!("{dir}/bus"),
                Err(_) => "$XDG_RUNTIME_DIR/bus".to_owned(),
            },
            "the user's dbus.service (`loginctl enable-linger USER`)",
        ),
    };
    match env::var(variable) {
        Ok(address) => format!(
            "{variable} is {address:?}: name a socket there that systemd answers at, as unix:path=/SOCKET"
        ),
        Err(_) => {
            format!(
                "it should answer at {usual}: start {service}, or name its socket in {variable}"
            )
        }
    }
}
