//! Bad annotations, images and policies, each refused in one line, soon and in little memory.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::bundle::Bundle;
use harness::layout::Layout;
use harness::program::Program;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

/// All annotations of a pod, at most, in bytes (Kubernetes' `TotalAnnotationSizeLimitB`).
const ANNOTATIONS: usize = 256 << 10;

/// The most of an error that is printed, in bytes, and the sign that there was more.
const LONGEST: usize = 4096 + '…'.len_utf8();

/// How long a refusal may take.
const SOON: Duration = Duration::from_secs(2);

/// The most memory that any of the calls may have had, in KiB: the parser of a mebibyte of brackets
/// takes most of it, and a debug build of the program itself a part.
const LITTLE: i64 = 72 << 10;

/// A bundle that is runc's as long as nothing is added.
fn ordinary() -> Bundle {
    Bundle::fixture("ordinary")
}

/// Calls `create`, which must refuse the bundle with a line that has these words.
#[track_caller]
fn refused(bundle: &Bundle, words: &[&str]) {
    let program = Program::new();
    let mut command = create(&program, bundle);
    check(&program, &mut command, words);
}

fn create(program: &Program, bundle: &Bundle) -> Command {
    let mut command = program.command(&["create", "--bundle"]);
    command.arg(bundle.path()).arg("runu-test-bad-facts");
    command
}

#[track_caller]
fn check(program: &Program, command: &mut Command, words: &[&str]) {
    let start = Instant::now();
    let outcome = program.capture(command);
    let took = start.elapsed();
    assert_eq!((outcome.code, &*outcome.stdout), (1, ""), "{outcome:?}");
    let line = outcome.stderr.strip_suffix('\n').unwrap();
    assert!(!line.contains(char::is_control), "{line:?}");
    assert!(line.len() <= LONGEST, "{} bytes: {line}", line.len());
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
    assert_eq!(program.log_lines().len(), 1);
    assert!(!program.store().exists(), "state is left: {line}");
    assert!(took < SOON, "{took:?}: {line}");
    // The most of any of this process' children so far, and of itself when it forked them.
    let memory = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(memory < LITTLE, "{memory} KiB: {line}");
}

#[test]
fn annotations_of_256_kib() {
    let long = "x".repeat(ANNOTATIONS);
    let path = format!("/{}", "k/".repeat(ANNOTATIONS / 2));
    for (key, value, words) in [
        ("runu.dev/mode", &long, ["runu.dev/mode", "unknown mode"]),
        ("runu.dev/kernel", &long, ["kernel xxxx", "…: "]),
        ("runu.dev/kernel", &path, ["kernel /k/k", "…: "]),
        ("com.urunc.unikernel.binary", &long, ["kernel xxxx", "…: "]),
    ] {
        refused(&ordinary().annotate(key, value), &words);
    }
    let keys = |prefix: &str| {
        let keys = (0..ANNOTATIONS / 64).map(|n| (format!("{prefix}{n:040}"), json!("a value")));
        let all = serde_json::Value::Object(keys.collect());
        ordinary().with(|config| config["annotations"] = all)
    };
    refused(&keys("runu.dev/"), &["unknown annotation runu.dev/0000"]);
    let others = keys("example.com/").annotate("runu.dev/kernel", "/k");
    refused(&others, &["kernel /k: no such file"]);
    let key = format!("runu.dev/{long}");
    refused(&ordinary().annotate(&key, ""), &["runu.dev/xxx", "…: "]);
}

#[test]
fn keys_with_control_characters() {
    for (key, word) in [
        ("runu.dev/ker\u{7}nel", "runu.dev/ker\\u{7}nel"),
        ("runu.dev/\u{1b}[2J\u{9b}1m", "runu.dev/\\u{1b}[2J\\u{9b}1m"),
        ("com.urunc.unikernel.a\nb", "com.urunc.unikernel.a\\nb"),
    ] {
        let bundle = ordinary().annotate(key, "/k");
        refused(&bundle, &["annotation", word]);
        let limits = harness::repository().join("policy/examples/pod-limits.toml");
        let program = Program::new().with_policy(&[limits]);
        // A choice of the pod's, so that a rule fits and the limits are asked.
        let bundle = bundle.annotate("runu.dev/mode", "unikernel");
        check(&program, &mut create(&program, &bundle), &[word, "policy"]);
    }
    let bundle = ordinary().annotate("runu.dev/kernel", "/k\u{1b}[2J");
    refused(&bundle, &["runu.dev/kernel", "control character"]);
}

/// People read it in a terminal.
#[test]
fn an_explanation_has_no_control_characters() {
    let bundle = ordinary()
        .annotate("io.kubernetes.cri.container-type", "container")
        .annotate("io.kubernetes.cri.container-name", "a\u{1b}]0;b\u{7}")
        .annotate("io.kubernetes.cri.image-name", "c\rd\ne")
        .annotate("runu.dev/mode.a\u{1b}]0;b\u{7}", "container");
    let text = Program::new().ok(&["explain", "--bundle", bundle.path().to_str().unwrap()]);
    let is_obeyed = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(is_obeyed), "{text:?}");
    for part in ["a\\u{1b}]0;b\\u{7}", "c\\rd\\ne"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn urunc_json_that_is_no_file() {
    let urunc = |make: fn(&Path)| {
        let bundle = ordinary();
        make(&bundle.rootfs().join("urunc.json"));
        bundle
    };
    let link = urunc(|path| symlink("/etc/passwd", path).unwrap());
    refused(&link, &["urunc.json", "symlink"]);
    let fifo = urunc(|path| mkfifo(path, Mode::S_IRWXU).unwrap());
    refused(&fifo, &["urunc.json", "special file"]);
    let huge = urunc(|path| File::create(path).unwrap().set_len(1 << 30).unwrap());
    refused(&huge, &["urunc.json", "more than 65536 bytes"]);
    let dir = urunc(|path| fs::create_dir(path).unwrap());
    refused(&dir, &["urunc.json", "directory"]);
}

#[test]
fn urunc_json_that_is_none() {
    let long = "x".repeat(60 << 10);
    let nested = "[".repeat(60 << 10);
    for (text, word) in [
        (r#"{"com.urunc.unikernel.binary":"?"}"#, "binary is no text"),
        (r#"{"com.urunc.unikernel.binary":"/w=="}"#, "in base64"),
        (r#"{"com.urunc.unikernel.binary":1}"#, "no object of texts"),
        (&*format!("{long:?}"), "no object of texts"),
        (&*format!("{{{long:?}:\"?\"}}"), "no text in base64"),
        (&*nested, "no object of texts"),
        ("", "no object of texts"),
    ] {
        let bundle = ordinary();
        fs::write(bundle.rootfs().join("urunc.json"), text).unwrap();
        refused(&bundle, &["urunc.json", word]);
    }
}

#[test]
fn contradictions_name_both() {
    for (case, words) in [
        (
            "urunc-contradicts-runu",
            ["runu.dev/kernel", "com.urunc.unikernel.binary"],
        ),
        (
            "kraftkit-contradicts-urunc",
            ["com.urunc.unikernel.binary", "org.unikraft.kernel.image"],
        ),
        (
            "vm-object-contradicts-annotation",
            ["runu.dev/memory", "vm.hwConfig.memory"],
        ),
        ("contradiction", ["runu.dev/mode", "names a kernel"]),
    ] {
        refused(&Bundle::fixture(case), &words);
    }
}

#[test]
fn layouts() {
    let laid_out = |make: fn(&Layout)| {
        let bundle = ordinary();
        make(&Layout::new(bundle.path()));
        bundle
    };
    let many = laid_out(|layout| layout.top(&vec![layout.manifest(|_| {}); 10_000]));
    refused(&many, &["index.json", "at most 128"]);
    let forged = laid_out(|layout| {
        let manifest = layout.manifest(|_| {});
        let path = layout.path(&manifest);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("layer", "lager")).unwrap();
        layout.top(&[manifest]);
    });
    refused(&forged, &["has the digest", "damaged or forged"]);
    let circle = laid_out(|layout| {
        let mut own = layout.index(&[]);
        let text = json!({ "manifests": [own] }).to_string();
        fs::write(layout.path(&own), &text).unwrap();
        own["size"] = text.len().into();
        layout.top(&[own]);
    });
    refused(&circle, &["has the digest", "damaged or forged"]);
}

/// A node whose one policy file is made by `make`; a bundle that any policy is asked about.
#[track_caller]
fn refused_by_policy(make: impl FnOnce(&Path), words: &[&str]) {
    let node = tempfile::tempdir().unwrap();
    let policy = node.path().join("policy.d");
    fs::create_dir(&policy).unwrap();
    make(&policy.join("site.toml"));
    let config = node.path().join("config.toml");
    fs::write(&config, format!("policy = {policy:?}\n")).unwrap();
    let program = Program::new();
    let bundle = ordinary();
    let call = create(&program, &bundle);
    // Root reads everything, but for these capabilities (capabilities(7)).
    let mut command = Command::new("setpriv");
    command
        .args(["--bounding-set", "-dac_override,-dac_read_search"])
        .arg(call.get_program())
        .args(call.get_args())
        .env("RUNU_CONFIG", config);
    check(&program, &mut command, &[words, &["site.toml"]].concat());
}

#[test]
fn policies() {
    if !nix::unistd::geteuid().is_root() && harness::skip("setpriv's bounding set needs root") {
        return;
    }
    let text = |text: &str| {
        let text = text.to_owned();
        move |path: &Path| fs::write(path, text).unwrap()
    };
    let unreadable = |path: &Path| {
        fs::write(path, "version = 1\n").unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o000)).unwrap();
    };
    refused_by_policy(unreadable, &["Permission denied"]);
    refused_by_policy(text(""), &["is empty", "version = 1"]);
    refused_by_policy(text(" \n\t\n"), &["is empty"]);
    refused_by_policy(
        text("version = 2\nnew = true\n"),
        &["version 2", "version 1"],
    );
    refused_by_policy(text("version = 1\nnew = true\n"), &["line 2", "`new`"]);
    refused_by_policy(text("version = 1\n\u{1b}[2J\n"), &["line 2"]);
    refused_by_policy(text(&"[".repeat(1 << 20)), &["line 1"]);
    refused_by_policy(text(&" ".repeat(2 << 20)), &["more than 1048576 bytes"]);
    // The most that is read ends within a character.
    refused_by_policy(text(&"é".repeat(1 << 20)), &["more than 1048576 bytes"]);
    refused_by_policy(|path| fs::create_dir(path).unwrap(), &["regular file"]);
    let fifo = |path: &Path| mkfifo(path, Mode::S_IRWXU).unwrap();
    refused_by_policy(fifo, &["regular file"]);
    let huge = |path: &Path| File::create(path).unwrap().set_len(1 << 30).unwrap();
    refused_by_policy(huge, &["more than 1048576 bytes"]);
}
