//! The container around a monitor is the one that runc makes around a process: a unikernel
//! and an ordinary container with the same configuration, by runu and by runc.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};
use serde_json::{Value, json};

/// What /proc tells of a container's init process.
fn facts(pid: i32) -> BTreeMap<String, String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
    let mut facts: BTreeMap<_, _> = ["limits", "oom_score_adj"]
        .map(|name| (name.to_owned(), read(name)))
        .into();
    for line in read("status").lines() {
        let (name, value) = line.split_once(':').unwrap();
        if ["Umask", "Uid", "Gid", "Groups"].contains(&name) {
            facts.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    for name in ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user"] {
        let link = |process: &str| fs::read_link(format!("/proc/{process}/ns/{name}")).unwrap();
        let own = link(&pid.to_string()) != link("self");
        facts.insert(format!("namespace {name}"), own.to_string());
    }
    let loopback = read("net/fib_trie").contains("127.0.0.1");
    facts.insert("loopback".into(), loopback.to_string());
    facts.insert("mounts".into(), mounts(&read("mountinfo")));
    let forward = read("root/proc/sys/net/ipv4/ip_forward");
    facts.insert("ip_forward".into(), forward);
    facts.insert("hostname".into(), in_uts(pid));
    facts
}

/// Where something is mounted, how, and whether it propagates (proc_pid_mountinfo(5)).
fn mounts(mountinfo: &str) -> String {
    let mut lines: Vec<_> = mountinfo
        .lines()
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let tags = fields[6..].iter().take_while(|field| **field != "-");
            // Without the peer group's number.
            let tags: Vec<_> = tags.filter_map(|tag| tag.split(':').next()).collect();
            // libcontainer adds nosuid, nodev and noexec to a readonlyPath.
            let options = match fields[4] {
                "/proc/sys" => fields[5].split(',').next().unwrap(),
                _ => fields[5],
            };
            format!("{} {options} {tags:?}\n", fields[4])
        })
        .collect();
    lines.sort();
    lines.concat()
}

fn in_uts(pid: i32) -> String {
    let mut nsenter = Command::new("nsenter");
    nsenter.args(["--uts", "--target", &pid.to_string(), "hostname"]);
    String::from_utf8(nsenter.output().unwrap().stdout).unwrap()
}

/// A change of config.json, and flags of `create`.
type Case<'a> = (&'a str, &'a [&'a str], &'a dyn Fn(&mut Value));

/// A container that runs, made of a changed configuration; what `look` sees of it.
fn seen(program: &Program, bundle: Bundle, case: &Case) -> BTreeMap<String, String> {
    let (name, flags, change) = case;
    let bundle = bundle.with(|config| {
        // runc of Go 1.19 raises the limit that it is given (golang/go#46279).
        let files = json!({ "type": "RLIMIT_NOFILE", "soft": 200, "hard": 300 });
        config["process"]["rlimits"] = json!([files]);
        change(config);
    });
    let container = Container::new(program, "init", &bundle);
    let mut create = container.create_command();
    let outcome = program.capture(create.args(*flags));
    assert_eq!(outcome.code, 0, "{name}: {outcome:?}");
    program.ok(&["start", "init"]);
    // runc's init becomes the program, ours seals itself.
    let comm = format!("/proc/{}/comm", container.pid());
    wait_for("the init process to be itself", || {
        let comm = fs::read_to_string(&comm).unwrap();
        ["busybox\n", "runu\n"].contains(&&*comm).then_some(())
    });
    facts(container.pid())
}

/// A process in namespaces of its own, which are joined by path.
struct Other(Child);

impl Other {
    fn new() -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--ipc", "--uts", "sh", "-c"]);
        unshare.args(["hostname elsewhere && exec cat"]);
        // SAFETY: prctl(2) is one system call.
        unsafe {
            unshare.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(nix::sys::signal::SIGKILL)?))
        };
        let child = unshare.stdin(Stdio::piped()).spawn().unwrap();
        let other = Self(child);
        wait_for("its namespaces", || {
            (in_uts(other.pid()) == "elsewhere\n").then_some(())
        });
        other
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_is_what_runc_makes_of_it() {
    if harness::cannot_boot() {
        return;
    }
    let Some((ours, theirs)) = Program::beside_runc() else {
        return;
    };
    let other = Other::new();
    let others = |kind: &str, name: &str| json!({ "type": kind, "path": format!("/proc/{}/ns/{name}", other.pid()) });
    let limit =
        |kind: &str, soft: u64, hard: u64| json!({ "type": kind, "soft": soft, "hard": hard });
    let cases: &[Case] = &[
        ("as it is", &[], &|_| ()),
        ("no pivot", &["--no-pivot"], &|_| ()),
        ("no keyring", &["--no-new-keyring"], &|_| ()),
        ("limits", &[], &|config| {
            let limits = [
                limit("RLIMIT_NOFILE", 200, 300),
                limit("RLIMIT_CORE", 0, 0),
                limit("RLIMIT_NPROC", 50, 60),
                limit("RLIMIT_AS", 10 << 30, 10 << 30),
            ];
            config["process"]["rlimits"] = limits.into();
            config["process"]["oomScoreAdj"] = 500.into();
        }),
        ("a user", &[], &|config| {
            config["process"]["user"] =
                json!({ "uid": 1000, "gid": 1001, "additionalGids": [10, 20], "umask": 0o77 });
            config["process"]["noNewPrivileges"] = true.into();
        }),
        ("another's namespaces", &[], &|config| {
            let joined = [("network", "net"), ("ipc", "ipc"), ("uts", "uts")];
            let mut all: Vec<_> = joined.map(|(kind, name)| others(kind, name)).into();
            all.extend([json!({ "type": "mount" }), json!({ "type": "pid" })]);
            config["linux"]["namespaces"] = all.into();
            config.as_object_mut().unwrap().remove("hostname");
        }),
        ("the host's namespaces", &[], &|config| {
            config["linux"]["namespaces"] = json!([{ "type": "mount" }]);
            // No guest shares the host's network.
            config["annotations"]["runu.dev/network"] = "none".into();
            config.as_object_mut().unwrap().remove("hostname");
        }),
        ("a cgroup namespace", &[], &|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.push(json!({ "type": "cgroup" }));
        }),
        ("a mount that gets the host's", &[], &|config| {
            config["linux"]["rootfsPropagation"] = "rslave".into();
            let mount = json!({ "destination": "/here", "source": "/etc", "type": "bind",
                "options": ["rbind", "rslave", "ro"] });
            config["mounts"].as_array_mut().unwrap().push(mount);
        }),
        ("private mounts", &[], &|config| {
            config["linux"]["rootfsPropagation"] = "rprivate".into();
            config["root"]["readonly"] = true.into();
        }),
        ("a sysctl", &[], &|config| {
            config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
        }),
    ];
    for case in cases {
        let unikernel = Bundle::unikernel("init-ours", "spin", "pvh", &["spin"]);
        let ordinary = Bundle::busybox("init-theirs", &["/bin/busybox", "sleep", "1000"]);
        let (ours, theirs) = (seen(&ours, unikernel, case), seen(&theirs, ordinary, case));
        for (name, value) in &theirs {
            assert_eq!(&ours[name], value, "{}: {name}", case.0);
        }
    }
}

#[test]
fn what_runc_refuses_is_refused() {
    if harness::cannot_boot() {
        return;
    }
    let program = Program::new();
    let cases: &[Case] = &[
        ("names a type twice", &[], &|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.push(json!({ "type": "pid", "path": "/proc/1/ns/pid" }));
        }),
        ("/proc/999999999/ns/net", &[], &|config| {
            let network = json!({ "type": "network", "path": "/proc/999999999/ns/net" });
            config["linux"]["namespaces"][4] = network;
        }),
        ("kernel.bogus", &[], &|config| {
            config["linux"]["sysctl"] = json!({ "kernel.bogus": "1" });
        }),
        ("RLIMIT_BOGUS", &[], &|config| {
            config["process"]["rlimits"] =
                json!([{ "type": "RLIMIT_BOGUS", "soft": 1, "hard": 1 }]);
        }),
        // Where there is AppArmor, there is no such profile.
        ("apparmor", &[], &|config| {
            config["process"]["apparmorProfile"] = "runu-test-none".into();
        }),
        ("selinuxLabel", &[], &|config| {
            config["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0".into();
        }),
    ];
    for (word, _, change) in cases {
        let bundle = Bundle::unikernel("unmade", "spin", "pvh", &["spin"]).with(|c| change(c));
        let outcome = Container::new(&program, "unmade", &bundle).create();
        assert_eq!(outcome.code, 1, "{word}: {outcome:?}");
        assert!(outcome.stderr.contains(word), "{word}: {outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{word}: {outcome:?}");
        program.assert_nothing_left("unmade", &bundle);
    }
}
