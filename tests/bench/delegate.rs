//! What delegation costs: runu and the delegate alone, in turn, verb by verb.
//!
//! Prints for each verb the median of the differences, pair by pair, in wall time
//! and in peak memory; fails where one is over its bound. Absolute times mean
//! nothing: they are those of this machine at this moment.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::libc;

/// How often each verb is called, of each program.
const ROUNDS: usize = 200;

/// What delegation may cost (microseconds, KiB).
const MAX_TIME: f64 = 1000.0;
const MAX_MEMORY: f64 = 2048.0;

/// Calls that change nothing, of the verbs that callers use most. `BUNDLE` is an
/// ordinary bundle that runc refuses as soon as it has read it, for want of a program:
/// a container that it makes takes 15 to 25 ms, of which a hundredth cannot be told.
const CALLS: &[&[&str]] = &[
    &["--version"],
    &["state", "runu-bench"],
    &["kill", "runu-bench", "9"],
    &["delete", "runu-bench"],
    &["delete", "--force", "runu-bench"],
    &["start", "runu-bench"],
    &["exec", "--detach", "runu-bench", "true"],
    &["ps", "--format", "json", "runu-bench"],
    &["pause", "runu-bench"],
    &["list", "-q"],
    &["create", "--bundle", "BUNDLE", "runu-bench"],
];

/// Wall time in microseconds and peak memory in KiB of one call.
#[derive(Clone, Copy)]
struct Cost {
    time: f64,
    memory: f64,
}

fn main() {
    let runu = std::env::var_os("RUNU_TEST_BIN")
        .map(PathBuf::from)
        .expect("RUNU_TEST_BIN");
    let runc = which::which_in("runc", Some("/usr/sbin:/usr/bin:/usr/local/bin"), "/")
        .expect("runc is missing: apt-get install runc");
    let bundle = bundle().expect("a bundle");
    let mut failed = false;
    println!(
        "{:44} {:>12} {:>10} {:>12}",
        "", "time, us", "ratio", "memory, KiB"
    );
    for call in CALLS {
        let bundle = bundle.path().to_str().expect("a path of text");
        let args: Vec<_> = call
            .iter()
            .map(|word| if *word == "BUNDLE" { bundle } else { word })
            .collect();
        // Whichever comes first leaves the kernel work that the second pays for.
        let pairs: Vec<_> = (0..ROUNDS)
            .map(|round| {
                let ours = || cost(&runu, &args).expect("runu");
                let theirs = || cost(&runc, &args).expect("runc");
                match round % 2 {
                    0 => (ours(), theirs()),
                    _ => {
                        let theirs = theirs();
                        (ours(), theirs)
                    }
                }
            })
            .collect();
        let time = median(pairs.iter().map(|(a, b)| a.time - b.time));
        let ratio = median(pairs.iter().map(|(a, b)| a.time / b.time));
        let memory = median(pairs.iter().map(|(a, b)| a.memory - b.memory));
        let over = time > MAX_TIME || memory > MAX_MEMORY;
        failed |= over;
        let mark = if over { "  over its bound" } else { "" };
        println!(
            "{:44} {time:>+12.0} {ratio:>10.2} {memory:>+12.0}{mark}",
            call.join(" ")
        );
    }
    assert!(
        !failed,
        "delegation may cost {MAX_TIME} us and {MAX_MEMORY} KiB"
    );
}

/// An ordinary bundle with the annotations and environment of a pod's container.
fn bundle() -> io::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    std::fs::create_dir(dir.path().join("rootfs"))?;
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": [],
            "env": (0..50).map(|n| format!("SERVICE_{n}_HOST=10.0.0.{n}")).collect::<Vec<_>>(),
            "cwd": "/",
        },
        "annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": "app",
        },
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }] },
    });
    std::fs::write(dir.path().join("config.json"), config.to_string())?;
    Ok(dir)
}

/// Runs a command to its end.
fn cost(program: &Path, args: &[&str]) -> io::Result<Cost> {
    let mut command = Command::new(program);
    command.args(args).arg0("runc").stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let child = command.spawn()?;
    let mut status = 0;
    // SAFETY: all zeros is a value of this struct of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and not waited for yet; both pointers are to live values.
    let pid = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let time = start.elapsed().as_secs_f64() * 1e6;
    Ok(Cost {
        time,
        memory: usage.ru_maxrss as f64,
    })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
