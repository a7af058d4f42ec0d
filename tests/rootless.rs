//! A user's containers: by rootless podman, and called directly.
//!
//! Every command runs as a service of the user's own systemd, as in a session of his.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use harness::program::{text, wait_for};
use tempfile::TempDir;

/// The machine's user, with ranges in /etc/subuid and /etc/subgid.
const USER: u32 = 1000;
const PODMAN: &str = "podman --log-level=error --events-backend=file --storage-driver=vfs";

/// Whether what these tests need is missing, said aloud.
fn cannot_run() -> bool {
    if harness::cannot_boot() {
        return true;
    }
    static SESSION: OnceLock<bool> = OnceLock::new();
    let has_session = *SESSION.get_or_init(|| {
        Command::new("systemctl")
            .args(["start", &format!("user@{USER}.service")])
            .status()
            .is_ok_and(|status| status.success())
    });
    !has_session
        && harness::skip("user 1000 has no systemd of his own: tests/machine/tests.sh --systemd")
}

/// A directory of the user's.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A rootfs with one file in it.
    fn rootfs(&self, file: &str, source: &Path) -> PathBuf {
        let rootfs = self.path().join("rootfs");
        let file = rootfs.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::copy(source, file).unwrap();
        self.give_to_user();
        rootfs
    }

    fn unikernel(&self, guest: &str) -> PathBuf {
        self.rootfs("unikraft/bin/kernel", &harness::guest(guest, "pvh"))
    }

    fn busybox(&self) -> PathBuf {
        self.rootfs("bin/busybox", Path::new("/bin/busybox"))
    }

    /// Makes a bundle of it, as `runc spec --rootless` has it, without a terminal; it has the
    /// host's network, which no guest shares.
    fn bundle(&self) {
        self.ok("runc spec --rootless && sed -i \
             -e 's/\"terminal\": true/\"terminal\": false/' \
             -e '1s/{/{\"annotations\":{\"runu.dev\\/network\":\"none\"},/' config.json");
    }

    fn give_to_user(&self) {
        let mut dirs = vec![self.path().to_owned()];
        while let Some(path) = dirs.pop() {
            chown(&path, Some(USER), Some(USER)).unwrap();
            if path.is_dir() {
                dirs.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            }
        }
    }

    /// Runs a shell's line as the user, in this directory. In it `runu` and `podman` are
    /// the program under test and podman with it.
    fn run(&self, line: &str) -> Output {
        let script = self.path().join("script");
        let text = format!(
            "cd {dir}\n\
             runu() {{ {runu} \"$@\"; }}\n\
             podman() {{ command {PODMAN} --runtime {runu} \"$@\"; }}\n\
             {line}\n",
            dir = self.path().display(),
            runu = harness::runu().display(),
        );
        // By file: systemd would take the dollars in a command line for its own.
        fs::write(&script, text).unwrap();
        self.give_to_user();
        Command::new("systemd-run")
            .args(["--user", "--pipe", "--wait", "--quiet", "sh"])
            .arg(script)
            .env("XDG_RUNTIME_DIR", format!("/run/user/{USER}"))
            .uid(USER)
            .gid(USER)
            .output()
            .unwrap()
    }

    #[track_caller]
    fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// /dev/kvm for all users, until it is dropped.
struct OpenKvm;

impl OpenKvm {
    fn new() -> Self {
        fs::set_permissions("/dev/kvm", Permissions::from_mode(0o666)).unwrap();
        Self
    }
}

impl Drop for OpenKvm {
    fn drop(&mut self) {
        let _ = fs::set_permissions("/dev/kvm", Permissions::from_mode(0o600));
    }
}

/// The user's containers that runu holds.
fn stored() -> Vec<PathBuf> {
    let roots = fs::read_dir(format!("/run/user/{USER}/runu"))
        .into_iter()
        .flatten();
    roots.map(|root| root.unwrap().path()).collect()
}

#[test]
fn podman_runs_an_ordinary_container() {
    if cannot_run() {
        return;
    }
    let home = Home::new();
    let rootfs = home.busybox();
    let output = home.run(&format!(
        "podman run -d --name o --network=none --log-driver=k8s-file --rootfs {} /bin/busybox sleep 1000 >/dev/null && \
         podman exec o /bin/busybox sh -c 'echo in exec; exit 4'; echo exec $?; \
         podman kill o >/dev/null && podman wait o; \
         podman rm o >/dev/null; \
         podman run --rm --network=none --rootfs {} /bin/busybox sh -c 'echo in run; exit 3'",
        rootfs.display(),
        rootfs.display(),
    ));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        stdout,
        "in exec\nexec 4\n137\nin run\n",
        "{}",
        text(&output)
    );
}

#[test]
fn podman_runs_a_unikernel_where_the_user_may_open_kvm() {
    if cannot_run() {
        return;
    }
    let _kvm = OpenKvm::new();
    let home = Home::new();
    let rootfs = home.unikernel("hello");
    let stdout = home.ok(&format!(
        "podman run --name u --network=none --log-driver=k8s-file --rootfs {} hello >/dev/null && \
         podman logs u && podman rm u >/dev/null",
        rootfs.display()
    ));
    assert!(stdout.contains("hello from a unikernel"), "{stdout}");
    assert_eq!(stored(), Vec::<PathBuf>::new());
}

#[test]
fn where_the_user_may_not_open_kvm_the_error_says_what_to_change() {
    if cannot_run() {
        return;
    }
    let home = Home::new();
    home.unikernel("hello");
    home.bundle();
    let output = home.run("runu run denied");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    for words in ["/dev/kvm: Permission denied", "usermod -aG kvm", "setfacl"] {
        assert!(stderr.contains(words), "{stderr}");
    }
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(stored(), Vec::<PathBuf>::new());
}

#[test]
fn a_users_unikernel_lives_in_a_scope_of_his() {
    if cannot_run() {
        return;
    }
    let _kvm = OpenKvm::new();
    let home = Home::new();
    home.unikernel("spin");
    home.bundle();
    home.ok("runu --systemd-cgroup run -d --pid-file pid mine >out 2>&1 </dev/null");
    let pid = fs::read_to_string(home.path().join("pid")).unwrap();
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(
        cgroup
            .trim()
            .ends_with("/user@1000.service/user.slice/runu-mine.scope"),
        "{cgroup}"
    );
    assert_eq!(home.ok("runu list -q"), "mine\n");
    // The machine's root has a store of his own.
    let theirs = Command::new(harness::runu())
        .args(["state", "mine"])
        .output()
        .unwrap();
    assert!(
        text(&theirs).contains("does not exist"),
        "{}",
        text(&theirs)
    );
    let stdout = home.ok("runu pause mine && runu state mine | grep -o paused; \
         runu update --pids-limit 50 mine && runu resume mine && runu kill mine KILL && \
         for i in 1 2 3 4 5 6 7 8 9; do runu state mine | grep -q stopped && break; sleep 1; done; \
         runu delete mine");
    assert_eq!(stdout, "paused\n");
    wait_for("the scope to go", || {
        let units = home.ok("systemctl --user list-units --all --plain --no-legend 'runu-*'");
        units.is_empty().then_some(())
    });
    assert_eq!(stored(), Vec::<PathBuf>::new());
}

/// Without --systemd-cgroup the user may make no cgroup: the monitor stays in the
/// caller's, which a pause would stop and an update bind.
#[test]
fn a_pause_or_an_update_does_not_reach_its_caller() {
    if cannot_run() {
        return;
    }
    let _kvm = OpenKvm::new();
    let home = Home::new();
    home.unikernel("spin");
    home.bundle();
    let output = home.run(
        "runu run -d bare >out 2>&1 </dev/null && runu pause bare; echo pause $?; \
         runu update --pids-limit 50 bare; echo update $?; \
         runu state bare | grep -o running; runu delete --force bare; echo delete $?",
    );
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        stdout,
        "pause 1\nupdate 1\nrunning\ndelete 0\n",
        "{}",
        text(&output)
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    let cures = stderr.matches("create it with --systemd-cgroup, or as root");
    assert_eq!(cures.count(), 2, "{stderr}");
    assert_eq!(stored(), Vec::<PathBuf>::new());
}
