//! The process that serves a guest its container's tree by virtio-fs, from `create` to the
//! monitor's end.
//!
//! It is a child of `create`, in the container's cgroup, and ends when the monitor hangs up; what
//! does not end so ends with the cgroup. It gets the container's tree by [`tree`] and shuts itself
//! in there, in namespaces of its own without network and without the host's files. It has the
//! container's capabilities and no others, and gains none. The words that it is told are those that
//! QEMU's virtiofsd and the later one in Rust have in common, but for one.
//!
//! [`tree`]: super::tree

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::{setgroups, setsid};
use serde_json::Value;

use crate::lifecycle::cgroup::paths::CgroupPaths;
use crate::lifecycle::process::Process;
use crate::lifecycle::resources::tree;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::user;
use vmm::{self, ServedShare};

/// Where it sees the container's tree: a directory that every host with a container of runu's has.
/// A container's own directory may have a comma in its name, which its words cannot.
const PLACE: &str = "/run/runu";

/// The socket's name in the container's directory, while there is one.
const SOCKET: &str = "virtiofsd.sock";

/// Capabilities that it keeps, if it is not told otherwise.
const KEPT: [Capability; 8] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_MKNOD,
    Capability::CAP_SETFCAP,
];

/// What it needs to shut itself in, and gives up then.
const FOR_ITS_SANDBOX: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SETPCAP];

/// Which versions of the one in Rust must be told: with handles in place of descriptors it wants
/// CAP_DAC_READ_SEARCH, by which whoever breaks it opens any file of the tree's file system
/// (open_by_handle_at(2)).
const NO_HANDLES: &str = "--inode-file-handles=never";

/// How long a virtiofsd may take to say a part of its help, and how much of it is read, in bytes.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HELP: u64 = 1 << 20;

/// A server that is not running yet.
pub(in crate::lifecycle) struct Virtiofsd {
    program: PathBuf,
    knows_handles: bool,
    /// The container's.
    dir: PathBuf,
    /// The monitor's end. It is connected when there is somebody to connect with: the monitor has
    /// the very same by then.
    socket: UnixStream,
    /// The container's.
    capabilities: CapsHashSet,
}

impl Virtiofsd {
    /// Looks at what there is for `program` to serve: a container with this configuration.
    ///
    /// # Errors
    /// When it cannot serve such a container with the rights that the container has, as a text.
    pub(in crate::lifecycle) fn prepare(
        program: PathBuf,
        entry: &Entry,
        config: &Value,
    ) -> Result<Self, String> {
        check(config)?;
        let failed = |e| format!("virtiofsd {}: {e}", program.display());
        let knows_handles = knows_handles(&program).map_err(failed)?;
        let (family, kind) = (AddressFamily::Unix, SockType::Stream);
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
        Ok(Self {
            program,
            knows_handles,
            dir: entry.dir.clone(),
            socket: socket.map_err(|e| format!("{SOCKET}: {e}"))?.into(),
            capabilities: capabilities(config),
        })
    }

    /// What the monitor needs to know.
    ///
    /// # Errors
    /// Those of dup(2).
    pub(in crate::lifecycle) fn share(&self, tag: &str) -> io::Result<ServedShare> {
        Ok(ServedShare {
            tag: tag.to_owned(),
            back_end: self.socket.try_clone()?,
        })
    }

    /// Starts it for the monitor `process`, and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be started or does not answer, with its own last words, as a text.
    pub(in crate::lifecycle) fn start(self, process: Process) -> Result<(), String> {
        let failed = |why: String| format!("virtiofsd {}: {why}", self.program.display());
        // A thread of its own, for it does not come back from the namespace (setns(2)).
        let spawned = thread::scope(|scope| scope.spawn(|| self.spawn(process)).join());
        let spawned = spawned.map_err(|_| failed("its thread failed".to_owned()))?;
        let (mut child, words) = spawned.map_err(|e| failed(e.to_string()))?;
        vmm::check_back_end(&self.socket).map_err(|why| {
            let _ = child.kill();
            let _ = child.wait();
            match last_words(words) {
                Some(said) => failed(format!("{why}; it said: {said}")),
                None => failed(why.to_string()),
            }
        })
    }

    fn spawn(&self, process: Process) -> io::Result<(Child, PipeReader)> {
        let own = Own::of(process)?;
        let listener = self.connect()?;
        tree::enter(process, Path::new(PLACE))?;
        self.give_up_rights()?;
        let (words, stderr) = io::pipe()?;
        let socket = listener.as_raw_fd();
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--fd={socket}"))
            // 0: as it is.
            .arg("--rlimit-nofile=0")
            .arg("-o")
            .arg(self.options())
            .args(self.knows_handles.then_some(NO_HANDLES))
            .env_clear()
            // The Rust one's; it warns of -o.
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        // SAFETY: what is called there makes system calls, and the files' paths are constants;
        // nothing of it takes a lock that another thread may have held at the fork.
        unsafe { command.pre_exec(move || own.become_it(socket)) };
        Ok((command.spawn()?, words))
    }

    /// Connects the monitor's end; gives what the server accepts by. Nobody else finds the way, and
    /// if it ends before it has accepted, that is seen.
    fn connect(&self) -> io::Result<UnixListener> {
        let open = File::open(&self.dir)?;
        // Its path may be longer than a socket's may be.
        let path = format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd());
        let listener = UnixListener::bind(&path)?;
        let connected = connect(self.socket.as_raw_fd(), &UnixAddr::new(path.as_str())?);
        std::fs::remove_file(&path)?;
        connected?;
        Ok(listener)
    }

    /// The options of -o. The tree's mounts are the guest's too, so that inodes of two of them are
    /// never one; nobody else's locks are heard of.
    fn options(&self) -> String {
        let denied = KEPT.iter().filter(|one| !self.may(**one));
        let denied: Vec<_> = denied.map(|one| format!("-{}", word(*one))).collect();
        let mut options = format!("source={PLACE},sandbox=namespace,announce_submounts,no_xattr");
        if !denied.is_empty() {
            options += &format!(",modcaps={}", denied.join(":"));
        }
        options
    }

    /// Whether the guest may have files made by this right. Devices it has none, as by 9P.
    fn may(&self, capability: Capability) -> bool {
        capability != Capability::CAP_MKNOD && self.capabilities.contains(&capability)
    }

    /// Leaves this thread, and what it starts, no way to more than the container's capabilities.
    fn give_up_rights(&self) -> io::Result<()> {
        let is_needed = |one| self.may(one) || FOR_ITS_SANDBOX.contains(&one);
        for capability in caps::all().into_iter().filter(|one| !is_needed(*one)) {
            // Those that the kernel does not know are not there.
            if caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
                caps::drop(None, CapSet::Bounding, capability).map_err(io::Error::other)?;
            }
        }
        prctl::set_no_new_privs()?;
        Ok(())
    }
}

/// Whether a virtiofsd could use handles of files.
fn knows_handles(program: &Path) -> io::Result<bool> {
    // A socket, for reads of it have a time limit.
    let (words, stdout) = UnixStream::pair()?;
    words.set_read_timeout(Some(TIMEOUT))?;
    let mut child = Command::new(program)
        .arg("--help")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(stdout))
        .stderr(Stdio::null())
        .spawn()?;
    let mut text = Vec::new();
    let read = words.take(MAX_HELP).read_to_end(&mut text);
    let _ = child.kill();
    let _ = child.wait();
    match read {
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            Err(io::Error::other("it does not answer --help"))
        }
        read => read.map(|_| String::from_utf8_lossy(&text).contains("--inode-file-handles")),
    }
}

/// Whether virtiofsd can serve the container with its rights: its own user is root, who asks for
/// files in the name of those that the guest names.
fn check(config: &Value) -> Result<(), String> {
    let mut namespaces = config["linux"]["namespaces"]
        .as_array()
        .into_iter()
        .flatten();
    if !user::is_machines_root() || namespaces.any(|namespace| namespace["type"] == "user") {
        return Err(
            "virtiofsd cannot serve a container in a user namespace: say runu.dev/rootfs: 9p"
                .to_owned(),
        );
    }
    match config["process"]["user"]["uid"].as_u64().unwrap_or(0) {
        0 => Ok(()),
        uid => Err(format!(
            "virtiofsd serves files as root, and the container's user is {uid}: say runu.dev/rootfs: 9p, or let the container's user be root"
        )),
    }
}

/// `process.capabilities.effective`; those of nobody's knowledge are none.
fn capabilities(config: &Value) -> CapsHashSet {
    let named = config["process"]["capabilities"]["effective"].as_array();
    let names = named.into_iter().flatten().filter_map(Value::as_str);
    names
        .filter_map(|name| Capability::from_str(name).ok())
        .collect()
}

/// As in `setgid`.
fn word(capability: Capability) -> String {
    let name = capability.to_string().to_ascii_lowercase();
    name.trim_start_matches("cap_").to_owned()
}

/// The last line that it wrote. Some process of its may have the other end yet.
fn last_words(mut words: PipeReader) -> Option<String> {
    fcntl(&words, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
    let mut text = Vec::new();
    let _ = words.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(last.trim().to_owned())
}

/// What makes a process one of the container's, opened beforehand.
struct Own {
    /// The cgroup.procs of each hierarchy.
    cgroups: Vec<File>,
    /// How soon the kernel ends it when there is no memory (proc_pid_oom_score_adj(5)).
    oom_score_adj: Vec<u8>,
}

impl Own {
    fn of(process: Process) -> io::Result<Self> {
        let files = CgroupPaths::of(process)?.procs();
        if files.is_empty() {
            return Err(io::Error::other("the container has no cgroup"));
        }
        let open = |path: PathBuf| File::options().write(true).open(path);
        Ok(Self {
            cgroups: files.into_iter().map(open).collect::<Result<_, _>>()?,
            oom_score_adj: std::fs::read(format!("/proc/{}/oom_score_adj", process.pid))?,
        })
    }

    /// Makes this process one, between fork and execve. Of its descriptors it keeps 0 to 2 and
    /// `socket`.
    fn become_it(&self, socket: RawFd) -> io::Result<()> {
        for mut cgroup in &self.cgroups {
            cgroup.write_all(b"0")?;
        }
        File::options()
            .write(true)
            .open("/proc/self/oom_score_adj")?
            .write_all(&self.oom_score_adj)?;
        setsid()?;
        // It would want CAP_SETGID to do so itself.
        setgroups(&[])?;
        // The guest's memory is in it.
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        // A descriptor for each file that the guest has heard of.
        let (_, max) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, max, max)?;
        // Nobody reads its words when `create` is over.
        // SAFETY: no handler is installed.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
        close_at_execve()?;
        // SAFETY: the caller has it open.
        let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket) };
        fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(())
    }
}

/// Has every descriptor above 2 closed by execve (close_range(2)): what the caller has leaked.
fn close_at_execve() -> nix::Result<()> {
    // SAFETY: nothing is closed here.
    let marked = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(marked).map(drop)
}
