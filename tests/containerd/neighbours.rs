//! A sidecar and a unikernel that talk by the unikernel's sockets, in a directory that both have.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::{Result, WEB, unikernel};
use harness::containerd::{self, ContainerSpec, Containerd, Mount, PodSpec};
use harness::{self, http, images};

/// Bytes: more than the sockets on the way hold.
const MUCH: usize = 256 << 10;

#[test]
fn a_sidecar_and_a_unikernel_talk_by_sockets_in_an_empty_dir() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(WEB)?)?;
    let before = containerd.census()?;
    let shared = containerd.node().dir().join("empty-dir");
    fs::create_dir(&shared)?;
    let mount = |from, to| Mount {
        from,
        to,
        read_only: false,
    };
    let pod = containerd.run_pod(&PodSpec {
        name: "neighbours",
        annotations: &[("runu.dev/vsock.unikernel", "/run/agent/vsock")],
        ..Default::default()
    })?;

    // The sidecar is this program: busybox knows no such sockets.
    let this = env::current_exe()?;
    let mounts = [mount(&*this, "/neighbour"), mount(&*shared, "/run/agent")];
    let sidecar = containerd.run(
        &pod,
        &ContainerSpec {
            name: "sidecar",
            command: &["/neighbour", "neighbours::in_the_sidecar", "--exact"],
            args: &["--ignored", "--nocapture"],
            mounts: &mounts,
            ..Default::default()
        },
    )?;
    sidecar.wait_log("stdout", "listening")?;
    let web = ContainerSpec {
        mounts: &mounts[1..],
        ..unikernel(WEB, &["web", "tell=52"])
    };
    let web = containerd.run(&pod, &web)?;
    let status = containerd.wait_exit(&sidecar)?;
    let said = sidecar.log("stdout")? + &sidecar.log("stderr")?;
    assert_eq!(status.exit_code, 0, "{said}\n{}", web.log("stdout")?);
    assert!(shared.join("vsock").exists());
    containerd.stop(&web)?;
    assert!(!shared.join("vsock").exists(), "it goes with the guest");

    containerd.end_pod(&pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}

#[test]
#[ignore = "runs in the sidecar"]
fn in_the_sidecar() {
    let listener = UnixListener::bind("/run/agent/vsock_52").unwrap();
    println!("listening");
    let mut word = String::new();
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_to_string(&mut word).unwrap();
    assert_eq!(word, "ready\n");

    let mut stream = UnixStream::connect("/run/agent/vsock").unwrap();
    let mut input = BufReader::new(stream.try_clone().unwrap());
    stream.write_all(b"CONNECT 7\n").unwrap();
    let mut answer = String::new();
    input.read_line(&mut answer).unwrap();
    assert!(answer.starts_with("OK "), "{answer}");
    let sent = http::pattern(MUCH);
    let back = std::thread::scope(|scope| {
        scope.spawn(|| stream.write_all(&sent).unwrap());
        let mut back = vec![0; sent.len()];
        input.read_exact(&mut back).unwrap();
        back
    });
    assert!(back == sent, "what was sent back is something else");
}
