//! Network namespaces, entered.

use std::fs::File;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

/// Does `work` in a network namespace. Sockets that it makes stay there.
pub fn within<T: Send>(namespace: &Path, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(namespace).unwrap();
    let entered = || {
        setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    };
    // A thread of its own, for it does not come back.
    std::thread::scope(|scope| scope.spawn(entered).join().unwrap())
}
