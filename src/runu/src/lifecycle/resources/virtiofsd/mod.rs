//! The process that serves a guest its container's tree by virtio-fs, from `create` to the
//! monitor's end.
//!
//! It is a child of `create`, in the container's cgroup, and ends when the monitor hangs up; what
//! does not end so ends with the cgroup. It gets the container's tree by [`tree`] and shuts itself
//! in there, in namespaces of its own without network and without the host's files. It has the
//! container's capabilities and no others, and gains none. Its options are those that
//! QEMU's virtiofsd and the later one in Rust have in common, but for one.
//!
//! [`tree`]: super::tree

pub(super) mod error;
mod membership;
mod tree;

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use caps::{CapSet, Capability, CapsHashSet};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use serde_json::Value;

use crate::lifecycle::process::Process;
use crate::lifecycle::resources::error::ResourceError;
use crate::lifecycle::resources::resource::Resource;
use crate::lifecycle::store::entry::Entry;
use crate::lifecycle::user;
use error::{VirtiofsdCause, VirtiofsdError};
use membership::Membership;
use vmm::{self, Files, ServedShare};

/// Where it sees the container's tree: a directory that every host with a container of runu's has.
/// A container's own directory may have a comma in its name, which its options cannot.
const SOURCE: &str = "/run/runu";

/// The socket's name in the container's directory, while there is one.
const SOCKET: &str = "virtiofsd.sock";

/// Capabilities that it keeps, by default.
const DEFAULT_CAPABILITIES: [Capability; 8] = [
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
const SANDBOX_CAPABILITIES: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SETPCAP];

/// What the one in Rust must be given: with handles in place of descriptors it wants
/// CAP_DAC_READ_SEARCH, by which whoever breaks it opens any file of the tree's file system
/// (open_by_handle_at(2)).
const NO_HANDLES: &str = "--inode-file-handles=never";

/// How long a virtiofsd may take to print a part of its help, and how much of it is read, in bytes.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_HELP: u64 = 1 << 20;

/// The server of a guest's files, which is not running yet.
pub(super) struct Virtiofsd {
    program: PathBuf,
    /// By which the guest finds the tree.
    tag: String,
    /// The container's.
    dir: PathBuf,
    /// The container's.
    config: Value,
    /// What is known once the program was looked at.
    prepared: Option<Prepared>,
}

struct Prepared {
    knows_handles: bool,
    /// The monitor's end. It is connected when there is somebody to connect with: the monitor has
    /// the very same by then.
    socket: UnixStream,
    /// The container's.
    capabilities: CapsHashSet,
}

impl Virtiofsd {
    /// `program`, to serve the tree of a container with the configuration `config` by the name
    /// `tag`.
    pub(super) fn new(program: PathBuf, tag: &str, entry: &Entry, config: Value) -> Self {
        Self {
            program,
            tag: tag.to_owned(),
            dir: entry.dir.clone(),
            config,
            prepared: None,
        }
    }

    fn failed(&self, source: impl Into<VirtiofsdCause>) -> VirtiofsdError {
        VirtiofsdError::Program {
            program: self.program.clone(),
            source: source.into(),
        }
    }
}

impl Resource for Virtiofsd {
    /// Looks at what there is for the program to serve, and refuses a container that it cannot
    /// serve with the rights that the container has.
    fn prepare(&mut self, files: &mut Files) -> Result<(), ResourceError> {
        check(&self.config)?;
        let knows_handles = knows_handles(&self.program).map_err(|e| self.failed(e))?;
        let (family, kind) = (AddressFamily::Unix, SockType::Stream);
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None);
        let socket = socket.map_err(|e| VirtiofsdError::Socket(e.into()))?;
        let socket = UnixStream::from(socket);
        files.served.push(ServedShare {
            tag: self.tag.clone(),
            back_end: socket.try_clone().map_err(VirtiofsdError::Socket)?,
        });
        self.prepared = Some(Prepared {
            knows_handles,
            socket,
            capabilities: capabilities(&self.config),
        });
        Ok(())
    }

    /// Starts it for the monitor, and waits until it answers.
    fn start(&mut self, monitor: Process) -> Result<(), ResourceError> {
        let Some(prepared) = self.prepared.take() else {
            return Ok(());
        };
        let server = Server {
            program: &self.program,
            dir: &self.dir,
            prepared,
        };
        Ok(server.start(monitor).map_err(|e| self.failed(e))?)
    }
}

/// The server that is being started.
struct Server<'a> {
    program: &'a Path,
    dir: &'a Path,
    prepared: Prepared,
}

impl Server<'_> {
    fn start(&self, monitor: Process) -> Result<(), VirtiofsdCause> {
        // A thread of its own, for it does not come back from the namespace (setns(2)).
        let spawned = thread::scope(|scope| scope.spawn(|| self.spawn(monitor)).join());
        let (mut child, stderr) = spawned.map_err(|_| VirtiofsdCause::Thread)??;
        vmm::check_back_end(&self.prepared.socket).map_err(|why| {
            let _ = child.kill();
            let _ = child.wait();
            match last_line(stderr) {
                Some(said) => VirtiofsdCause::Stderr {
                    why: why.into(),
                    said,
                },
                None => VirtiofsdCause::BackEnd(why.into()),
            }
        })
    }

    fn spawn(&self, process: Process) -> Result<(Child, PipeReader), VirtiofsdCause> {
        let membership = Membership::of(process).map_err(VirtiofsdCause::Cgroup)?;
        let listener = self.connect()?;
        tree::enter(process, Path::new(SOURCE))?;
        self.give_up_rights()?;
        let (reader, stderr) = io::pipe()?;
        let socket = listener.as_raw_fd();
        let mut command = Command::new(self.program);
        command
            .arg(format!("--fd={socket}"))
            // 0: as it is.
            .arg("--rlimit-nofile=0")
            .arg("-o")
            .arg(self.options())
            .args(self.prepared.knows_handles.then_some(NO_HANDLES))
            .env_clear()
            // The Rust one's; it warns of -o.
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        // SAFETY: what is called there makes system calls, and the files' paths are constants;
        // nothing of it takes a lock that another thread may have held at the fork.
        unsafe { command.pre_exec(move || membership.join(socket)) };
        Ok((command.spawn()?, reader))
    }

    /// Connects the monitor's end; gives what the server accepts by. No other process can connect, and
    /// if it ends before it has accepted, that is seen.
    fn connect(&self) -> io::Result<UnixListener> {
        let open = File::open(self.dir)?;
        // Its path may be longer than a socket's may be.
        let path = format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd());
        let listener = UnixListener::bind(&path)?;
        let connected = connect(
            self.prepared.socket.as_raw_fd(),
            &UnixAddr::new(path.as_str())?,
        );
        std::fs::remove_file(&path)?;
        connected?;
        Ok(listener)
    }

    /// The options of -o. The tree's mounts are the guest's too, so that inodes of two of them are
    /// never one; locks of other processes are not seen.
    fn options(&self) -> String {
        let denied = DEFAULT_CAPABILITIES.iter().filter(|one| !self.may(**one));
        let denied: Vec<_> = denied
            .map(|one| format!("-{}", option_name(*one)))
            .collect();
        let mut options = format!("source={SOURCE},sandbox=namespace,announce_submounts,no_xattr");
        if !denied.is_empty() {
            options += &format!(",modcaps={}", denied.join(":"));
        }
        options
    }

    /// Whether the guest may have files made by this right. Devices it has none, as by 9P.
    fn may(&self, capability: Capability) -> bool {
        capability != Capability::CAP_MKNOD && self.prepared.capabilities.contains(&capability)
    }

    /// Leaves this thread, and what it starts, no way to more than the container's capabilities.
    fn give_up_rights(&self) -> io::Result<()> {
        let is_needed = |one| self.may(one) || SANDBOX_CAPABILITIES.contains(&one);
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
fn knows_handles(program: &Path) -> Result<bool, VirtiofsdCause> {
    // A socket, for reads of it have a time limit.
    let (reader, stdout) = UnixStream::pair()?;
    reader.set_read_timeout(Some(TIMEOUT))?;
    let mut child = Command::new(program)
        .arg("--help")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(stdout))
        .stderr(Stdio::null())
        .spawn()?;
    let mut text = Vec::new();
    let read = reader.take(MAX_HELP).read_to_end(&mut text);
    let _ = child.kill();
    let _ = child.wait();
    match read {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Err(VirtiofsdCause::NoHelp),
        Err(e) => Err(e.into()),
        Ok(_) => Ok(String::from_utf8_lossy(&text).contains("--inode-file-handles")),
    }
}

/// Whether virtiofsd can serve the container with its rights: its own user is root, who asks for
/// files in the name of those that the guest names.
fn check(config: &Value) -> Result<(), VirtiofsdError> {
    let mut namespaces = config["linux"]["namespaces"]
        .as_array()
        .into_iter()
        .flatten();
    if !user::is_host_root() || namespaces.any(|namespace| namespace["type"] == "user") {
        return Err(VirtiofsdError::UserNamespace);
    }
    match config["process"]["user"]["uid"].as_u64().unwrap_or(0) {
        0 => Ok(()),
        uid => Err(VirtiofsdError::User { uid }),
    }
}

/// `process.capabilities.effective`; unknown names are left out.
fn capabilities(config: &Value) -> CapsHashSet {
    let named = config["process"]["capabilities"]["effective"].as_array();
    let names = named.into_iter().flatten().filter_map(Value::as_str);
    names
        .filter_map(|name| Capability::from_str(name).ok())
        .collect()
}

/// As in `setgid`.
fn option_name(capability: Capability) -> String {
    let name = capability.to_string().to_ascii_lowercase();
    name.trim_start_matches("cap_").to_owned()
}

/// The last line that it wrote. Some process of its may have the other end yet.
fn last_line(mut stderr: PipeReader) -> Option<String> {
    fcntl(&stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).ok()?;
    let mut text = Vec::new();
    let _ = stderr.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(last.trim().to_owned())
}
