//! Network namespaces that a test makes: a pod's, and the world's at the other end of its wire.

use std::fs::File;
use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::Signal;

/// A network namespace that ends with this, or with the test.
pub struct Namespace(Child);

impl Namespace {
    pub fn new() -> Self {
        let mut holder = Command::new("sleep");
        holder.arg("infinity").stdin(Stdio::null());
        let enter = || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(unshare(CloneFlags::CLONE_NEWNET)?)
        };
        // SAFETY: between fork and exec, two system calls and no allocation.
        let holder = unsafe { holder.pre_exec(enter) }.spawn().unwrap();
        let namespace = Self(holder);
        namespace.ip("link set lo up");
        namespace
    }

    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// A command in it.
    pub fn command(&self, program: &str, args: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display()));
        command.arg(program).args(args.split_whitespace());
        command
    }

    /// `ip` or `tc` or whatever in it, which must succeed; gives its output.
    #[track_caller]
    pub fn run(&self, program: &str, args: &str) -> String {
        let output: Output = self.command(program, args).output().unwrap();
        let text = super::program::text(&output);
        assert!(output.status.success(), "{program} {args}: {text}");
        text
    }

    #[track_caller]
    pub fn ip(&self, args: &str) -> String {
        self.run("ip", args)
    }

    /// Does `work` in it.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.path()).unwrap();
        let entered = || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        };
        std::thread::scope(|scope| scope.spawn(entered).join().unwrap())
    }

    /// A UDP socket in it, which waits half a second for an answer.
    pub fn udp(&self, address: &str) -> UdpSocket {
        let socket = self.within(|| UdpSocket::bind(address).unwrap());
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        socket
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pod with the address 10.9.0.2 and fd09::2 on its `eth0`, and the world beyond its wire,
/// which is 10.9.0.1 and fd09::1.
pub struct Pod {
    pub pod: Namespace,
    pub world: Namespace,
}

impl Pod {
    pub fn new() -> Self {
        let pod = Self::bare();
        pod.plumb("eth0");
        pod
    }

    /// Without a wire yet.
    pub fn bare() -> Self {
        let (pod, world) = (Namespace::new(), Namespace::new());
        Self { pod, world }
    }

    /// As a CNI plugin does it.
    pub fn plumb(&self, name: &str) {
        self.plumb_into(self.pod.pid(), name);
        self.pod.ip(&format!("addr add 10.9.0.2/24 dev {name}"));
        self.pod
            .ip(&format!("addr add fd09::2/64 dev {name} nodad"));
        self.pod.ip(&format!("link set {name} up"));
        self.pod.ip("route add default via 10.9.0.1");
        self.pod.ip("route add default via fd09::1");
    }

    /// Lays a wire from the world to an interface of another namespace.
    pub fn plumb_into(&self, pid: u32, name: &str) {
        let wire = format!("link add w0 type veth peer name {name} netns {pid}");
        self.world.ip(&wire);
        self.world.ip("addr add 10.9.0.1/24 dev w0");
        self.world.ip("addr add fd09::1/64 dev w0 nodad");
        self.world.ip("link set w0 up");
    }

    pub fn mtu(self, mtu: u32) -> Self {
        self.world.ip(&format!("link set w0 mtu {mtu}"));
        self.pod.ip(&format!("link set eth0 mtu {mtu}"));
        self
    }

    /// Whether the world's datagram to `to` comes back.
    pub fn echoes(&self, to: &str, text: &[u8]) -> bool {
        let any = if to.starts_with('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = self.world.udp(any);
        let mut answer = vec![0; text.len() + 1];
        // The first may be lost while addresses are asked for.
        (0..10).any(|_| {
            socket.send_to(text, to).unwrap();
            match socket.recv_from(&mut answer) {
                Ok((len, from)) => &answer[..len] == text && from.to_string() == to,
                Err(_) => false,
            }
        })
    }

    /// Whether the world's pings are answered.
    pub fn pings(&self, args: &str) -> bool {
        let ping = self.world.command("busybox", args).output().unwrap();
        ping.status.success()
    }

    /// What is set on the pod's `eth0` for packets that arrive, and its taps.
    pub fn traces(&self) -> (String, Vec<String>) {
        let qdiscs = self.pod.run("tc", "qdisc show dev eth0 ingress");
        let filters = self.pod.run("tc", "filter show dev eth0 ingress");
        let links = self.pod.ip("-o link show");
        let taps = links.lines().filter(|line| line.contains(": runu"));
        (qdiscs + &filters, taps.map(str::to_owned).collect())
    }

    #[track_caller]
    pub fn assert_no_traces(&self) {
        assert_eq!(self.traces(), (String::new(), Vec::new()));
    }
}
