//! Sockets to neighbours: Linux's own virtio-vsock and socat in the guest, Unix sockets beside it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vmm::{Transport, Vsock};

use crate::guest::{Setup, answer};
use crate::{MIB, is_all, pattern, sha256, transports};
use harness::bundle::Bundle;
use harness::guard::Container;
use harness::program::{Program, wait_for};

const MODULES: [&str; 3] = [
    "vsock",
    "vmw_vsock_virtio_transport_common",
    "vmw_vsock_virtio_transport",
];
/// How many MiB go each way in one stream.
const COUNT: usize = 2;
/// How often the guest connects, one time after the other.
const TIMES: usize = 20;
/// How long a guest in an emulation may take for anything.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Connections of the guest's, then some of the host's with what listens in it, until the host
/// says on port 1002 that it is done.
const SCRIPT: &str = r#"
echo "answer: $(echo question | tool socat - VSOCK-CONNECT:2:52)"
tool socat -u VSOCK-CONNECT:2:53 - | tee /tmp/data | sha256sum >/tmp/sum
echo "sum: $(cat /tmp/sum)"
tool socat -u FILE:/tmp/data VSOCK-CONNECT:2:54
echo "sent: $?"
tool socat - VSOCK-CONNECT:2:99 </dev/null 2>/tmp/refused
echo "refused: $? $(grep -c 'reset by peer' /tmp/refused)"
n=0
while [ $n -lt $times ]; do
    [ "$(echo $n | tool socat - VSOCK-CONNECT:2:52)" = "$n back" ] || echo "wrong: $n"
    n=$((n + 1))
done
tool socat VSOCK-LISTEN:1000,fork EXEC:cat &
tool socat -u VSOCK-LISTEN:1002 - >/tmp/done &
done=$!
echo "listening: yes"
wait $done
echo "done: $(cat /tmp/done)"
"#;

/// Says what was heard, and ` back`, to each of so many that come.
fn echo(listener: &UnixListener, times: usize) {
    for _ in 0..times {
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = String::new();
        // To the end: the guest has said all, and still listens.
        stream.read_to_string(&mut said).unwrap();
        let answer = format!("{} back\n", said.trim_end());
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// Connects with a port of the guest's, as soon as somebody listens there.
fn connect(path: &Path, port: u32) -> UnixStream {
    let begin = std::time::Instant::now();
    loop {
        let mut stream = UnixStream::connect(path).unwrap();
        writeln!(stream, "CONNECT {port}").unwrap();
        let mut line = String::new();
        // Byte by byte: what follows the line is the guest's.
        while !line.ends_with('\n') {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => line.push(byte[0].into()),
                // Refused.
                _ => break,
            }
        }
        if line.starts_with("OK ") {
            return stream;
        }
        assert_eq!(line, "");
        assert!(begin.elapsed() < TIMEOUT, "nobody listens at {port}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Whether what listens at port 1000 gives back all that it is sent, while it is sent.
fn is_sent_back(path: &Path, data: &[u8], times: usize) -> bool {
    let stream = connect(path, 1000);
    let mut input = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..times {
                input.write_all(data).unwrap();
            }
            input.shutdown(Shutdown::Write).unwrap();
        });
        is_all(stream, data, times)
    })
}

fn over(transport: Transport) {
    let script = format!("times={TIMES}\n{SCRIPT}");
    let Some(mut setup) = Setup::new(transport, &MODULES, &["socat"], &script) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vsock");
    let [questions, source, sink] = [52, 53, 54]
        .map(|port| UnixListener::bind(dir.path().join(format!("vsock_{port}"))).unwrap());
    let data = pattern(5, MIB);
    let expected = sha256(&data, COUNT);
    setup.vsock = Some(Vsock {
        listener: UnixListener::bind(&path).unwrap(),
        path: path.clone(),
    });
    let guest = setup.start();
    let sent = data.clone();
    let hosts = std::thread::spawn(move || {
        echo(&questions, 1);
        let (mut stream, _) = source.accept().unwrap();
        for _ in 0..COUNT {
            stream.write_all(&sent).unwrap();
        }
        drop(stream);
        let (mut stream, _) = sink.accept().unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back.chunks(MIB).all(|chunk| chunk == sent) && back.len() == COUNT * MIB);
        echo(&questions, TIMES);
        assert!(is_sent_back(&path, &sent, COUNT));
        for _ in 0..5 {
            assert!(is_sent_back(&path, b"short", 1));
        }
        connect(&path, 1002).write_all(b"thank you").unwrap();
    });
    let said = guest.finish();
    assert!(hosts.is_finished() && hosts.join().is_ok(), "{said}");
    let is = |name: &str, expected: &str| assert_eq!(answer(&said, name), expected, "{said}");
    is("answer", "question back");
    is("sum", &expected);
    is("sent", "0");
    is("refused", "1 1");
    is("done", "thank you");
    assert!(!said.contains("wrong: "), "{said}");
}

#[test]
fn bytes_arrive_as_they_were_sent() {
    for transport in transports(Transport::Pci) {
        over(transport);
    }
}

/// Over registers in memory, which are found by the command line that `start` makes.
#[test]
fn a_container_has_its_socket_from_create_to_its_end() {
    let script = "tool socat VSOCK-LISTEN:7 SYSTEM:'read name; echo hello \"$name\"'";
    let Some(setup) = Setup::new(Transport::Mmio, &MODULES, &["socat"], script) else {
        return;
    };
    let id = "linux-vsock";
    let shared = tempfile::tempdir().unwrap();
    let bundle = Bundle::runnable(id, &["linux"])
        .annotate("runu.dev/virtio", "mmio")
        .annotate("runu.dev/vsock", "/run/agent/vsock")
        .annotate("runu.dev/kernel", "/boot/vmlinux")
        .annotate("runu.dev/initrd", "/boot/initrd")
        .with(|config| {
            config["linux"]["resources"]["memory"] = serde_json::Value::Null;
            config["mounts"].as_array_mut().unwrap().push(json!({
                "destination": "/run/agent", "source": shared.path(), "options": ["bind"],
            }));
        })
        .annotate("runu.dev/memory", "384Mi");
    setup.save(&bundle.rootfs().join("boot"));
    std::fs::create_dir_all(bundle.rootfs().join("run/agent")).unwrap();

    let program = Program::new();
    let container = Container::new(&program, id, &bundle);
    let created = container.create();
    assert_eq!(created.code, 0, "{}", created.stderr);
    let path = shared.path().join("vsock");
    // Before it starts somebody asks, and waits.
    let mut early = UnixStream::connect(&path).unwrap();
    writeln!(early, "CONNECT 6").unwrap();
    program.ok(&["start", id]);
    let mut stream = connect(&path, 7);
    stream.write_all(b"neighbour\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert_eq!(answer, "hello neighbour\n");
    assert_eq!(
        early.read(&mut [0; 10]).unwrap(),
        0,
        "nobody listened there"
    );
    assert_eq!(container.wait(), 0, "{}", container.stdout());
    wait_for("its socket to go", || (!path.exists()).then_some(()));
}
