//! The loopback interface of a new network namespace, which is down at first. runc takes it
//! up, and another container of the pod, or one that joins this one's network, relies on it.

use std::fs::File;

use libcontainer::network::link::LinkClient;
use libcontainer::network::wrapper::create_network_client;
use nix::sched::{CloneFlags, setns};
use nix::unistd::Pid;
use serde_json::Value;

/// Whether a configuration asks for a network namespace of the container's own.
pub fn is_wanted(config: &Value) -> bool {
    let namespaces = config["linux"]["namespaces"].as_array();
    let is_new = |namespace: &Value| {
        let path = namespace["path"].as_str().unwrap_or_default();
        namespace["type"] == "network" && path.is_empty()
    };
    // Without root's rights there is no way in from here.
    nix::unistd::geteuid().is_root() && namespaces.is_some_and(|all| all.iter().any(is_new))
}

/// Takes the loopback interface up in the network namespace of `pid`.
///
/// # Errors
/// When the namespace cannot be entered or its interface not be changed, as a text.
pub fn take_up(pid: Pid) -> Result<(), String> {
    let namespace = File::open(format!("/proc/{pid}/ns/net")).map_err(|e| e.to_string())?;
    // A thread of its own, for it does not come back (setns(2)).
    let thread = std::thread::spawn(move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(|e| e.to_string())?;
        LinkClient::new(create_network_client())
            .and_then(|mut links| {
                let loopback = links.get_by_name("lo")?;
                links.set_up(loopback.header.index)
            })
            .map_err(|e| crate::exit::chain(&e))
    });
    let done = thread.join().unwrap_or_else(|_| Err("it panicked".into()));
    done.map_err(|why| format!("loopback interface: {why}"))
}
