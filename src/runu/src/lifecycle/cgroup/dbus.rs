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

/// Why systemd gives no cgroup.
#[derive(Debug, thiserror::Error)]
pub(in crate::lifecycle) enum DbusError {
    #[error("cannot reach systemd over D-Bus: no answer in {} s; {cure}", TIMEOUT.as_secs())]
    NoAnswer { cure: String },
    /// The cause is within the line, before the cure: no source of its own.
    #[error("cannot reach systemd over D-Bus: {why}; {cure}")]
    Unreachable {
        why: Box<SystemdManagerError>,
        cure: String,
    },
    #[error(transparent)]
    Manager(Box<CreateCgroupSetupError>),
}

/// Makes a cgroup manager that has to ask systemd for its cgroup.
///
/// # Errors
/// The manager's; where it is systemd that cannot be reached, or gives no
/// answer, with the socket and the cure. A question without an answer is left behind in
/// its thread: let the process end.
pub(in crate::lifecycle) fn ask(
    make: impl FnOnce() -> Result<AnyCgroupManager, CreateCgroupSetupError> + Send + 'static,
) -> Result<AnyCgroupManager, DbusError> {
    let (sender, answer) = mpsc::channel();
    let thread = thread::spawn(move || {
        // The receiver is gone when the answer comes late.
        let _ = sender.send(make());
    });
    let Ok(answer) = answer.recv_timeout(TIMEOUT) else {
        return Err(DbusError::NoAnswer { cure: cure() });
    };
    // It has nothing more to do: a thread less for the forks to come.
    let _ = thread.join();
    answer.map_err(|error| match error {
        CreateCgroupSetupError::Systemd(why @ SystemdManagerError::SystemdClient(_)) => {
            DbusError::Unreachable {
                why: Box::new(why),
                cure: cure(),
            }
        }
        other => DbusError::Manager(Box::new(other)),
    })
}

/// What to change, by the socket that libcgroups uses (`DbusConnection::new_system` and
/// `new_session`).
fn cure() -> String {
    let (variable, usual, service) = match user::is_host_root() {
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
