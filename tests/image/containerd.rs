//! Images as a containerd of the test's own knows them, and containerds that say
//! nothing.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use image::{Containerd, ImageError, Source, Verdict};
use serde_json::json;

use crate::host;
use harness::layout::Layout;
use harness::{containerd, runu};

const NAMESPACE: &str = "runu-test";
const KIND: &str = "application/vnd.example.unikernel.v1";

fn asking(socket: &Path, cache: &Path) -> Containerd {
    Containerd {
        socket: socket.to_owned(),
        namespace: NAMESPACE.into(),
        cache: cache.join("made/here"),
        // Patient: the machine may be busy.
        timeout: Duration::from_secs(10),
    }
}

/// Imports what `make` puts into a layout as the image `name`, and makes a
/// container of it.
fn container(
    containerd: &containerd::Containerd,
    name: &str,
    make: impl FnOnce(&Layout) -> serde_json::Value,
) -> Result<Layout, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let layout = Layout::new(dir.path());
    let mut target = make(&layout);
    let image = format!("localhost/runu-test/{name}:1");
    target["annotations"]["io.containerd.image.name"] = image.clone().into();
    layout.top(&[target]);
    let archive = tempfile::NamedTempFile::new()?;
    let mut tar = tar::Builder::new(File::create(archive.path())?);
    tar.append_dir_all(".", dir.path())?;
    tar.finish()?;
    let archive = archive.path().to_str().expect("a path that is text");
    containerd.ask_ctr(NAMESPACE, &["image", "import", archive])?;
    containerd.ask_ctr(NAMESPACE, &["container", "create", &image, name])?;
    Ok(layout)
}

fn artifact(layout: &Layout) -> serde_json::Value {
    layout.manifest(|m| {
        m["artifactType"] = KIND.into();
        m["annotations"] = json!({ "of": "the manifest" });
    })
}

#[test]
fn a_containers_image_is_told_and_kept() -> Result<(), Box<dyn Error>> {
    if containerd::cannot_start() {
        return Ok(());
    }
    let daemon = containerd::Containerd::start(&runu())?;
    let dir = tempfile::tempdir()?;
    let asking = asking(&daemon.socket(), dir.path());

    container(&daemon, "single", artifact)?;
    let image = asking.image_of("single", &host(true))?;
    assert_eq!(image.source, Source::Containerd);
    assert_eq!(image.artifact_type.as_deref(), Some(KIND));
    assert_eq!(image.annotations["of"], "the manifest");
    assert_eq!(image.labels["maintainer"], "tests");
    assert!(image.evidence.is_some());

    // What was kept serves without the content, and only that.
    let digest = image.digest.as_str();
    daemon.ask_ctr(NAMESPACE, &["content", "rm", digest])?;
    assert_eq!(asking.image_of("single", &host(true))?, image);
    let error = asking.image_of("single", &host(false)).unwrap_err();
    assert!(error.to_string().contains(digest), "{error}");
    for (corrupt, why) in corruptions() {
        asking_again(&daemon, &asking, dir.path(), corrupt, why)?;
    }

    // A matrix: containerd unpacks its own platform's, whatever runs best.
    container(&daemon, "matrix", |layout| {
        let plain = layout.for_platform("linux/amd64");
        let mut manifests: Vec<_> = ["fc/x86_64", "linux/arm64"]
            .map(|platform| layout.for_platform(platform))
            .to_vec();
        manifests.insert(1, plain);
        layout.index(&manifests)
    })?;
    let image = asking.image_of("matrix", &host(true))?;
    assert_eq!(image.candidates[1].verdict, Verdict::Chosen);
    assert_eq!(image.annotations["for"], "linux/amd64");
    let lost = image.candidates[0].verdict.to_string();
    assert_eq!(lost, "containerd unpacks the first one for linux/amd64");

    // A cache has a bound, and is of no use where others can write.
    let kept = dir.path().join("made/here");
    for n in 0..300 {
        fs::write(kept.join(format!("old-{n}")), "")?;
    }
    container(&daemon, "one-more", |layout| {
        layout.for_platform("linux/amd64")
    })?;
    let image = asking.image_of("one-more", &host(true))?;
    assert_eq!(fs::read_dir(&kept)?.count(), 256);
    assert!(kept.join(image.digest.replace(':', "-") + ".json").exists());
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o777))?;
    daemon.ask_ctr(NAMESPACE, &["content", "rm", &image.digest])?;
    assert!(asking.image_of("one-more", &host(true)).is_err());

    let text = |id: &str| asking.image_of(id, &host(true)).unwrap_err().to_string();
    let nobody = text("nobody");
    assert_eq!(
        nobody,
        "containerd knows no container nobody in its namespace runu-test"
    );
    daemon.ask_ctr(
        NAMESPACE,
        &["container", "create", "--rootfs", "/tmp", "bare"],
    )?;
    assert!(text("bare").contains("container bare without an image"));
    daemon.ask_ctr(NAMESPACE, &["image", "rm", "localhost/runu-test/matrix:1"])?;
    assert!(text("matrix").contains("image localhost/runu-test/matrix:1"));
    Ok(())
}

type Corrupt = fn(&Path);

/// What can have happened to a file of the cache.
fn corruptions() -> [(Corrupt, &'static str); 4] {
    [
        (|file| fs::write(file, "{").unwrap(), "cut short"),
        (|file| chown(file, Some(1), None).unwrap(), "another's"),
        (
            |file| fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap(),
            "open to all",
        ),
        (
            |file| {
                let text = fs::read_to_string(file).unwrap();
                fs::write(file, text.replace("\"format\":1", "\"format\":0")).unwrap();
            },
            "of another build",
        ),
    ]
}

/// A corrupt file of the cache is not believed, and written anew.
fn asking_again(
    daemon: &containerd::Containerd,
    asking: &Containerd,
    dir: &Path,
    corrupt: Corrupt,
    why: &str,
) -> Result<(), Box<dyn Error>> {
    let name = format!("corrupt-{}", why.replace([' ', '\''], ""));
    container(daemon, &name, |layout| {
        layout.manifest(|m| m["annotations"] = json!({ "name": name }))
    })?;
    let image = asking.image_of(&name, &host(true))?;
    let hex = &image.digest["sha256:".len()..];
    let file: PathBuf = dir.join(format!("made/here/sha256-{hex}.json"));
    let good = fs::read(&file)?;
    // So that it can be told who is believed.
    let text = String::from_utf8(good.clone())?;
    fs::write(&file, text.replace(&name, "a lie"))?;
    let lie = asking.image_of(&name, &host(true))?;
    assert_eq!(
        lie.annotations["name"], "a lie",
        "{why}: the cache is not asked"
    );
    corrupt(&file);
    assert_eq!(asking.image_of(&name, &host(true))?, image, "{why}");
    assert_eq!(fs::read(&file)?, good, "{why}");
    Ok(())
}

#[test]
fn a_containerd_that_says_nothing_is_waited_for_so_long_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("containerd.sock");
    let mut asking = asking(&socket, dir.path());
    asking.timeout = Duration::from_millis(200);
    let ask = || {
        let start = Instant::now();
        let error = asking.image_of("any", &host(true)).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(2), "{error}");
        error
    };

    let missing = ask();
    let ImageError::Unreachable { source, .. } = &missing else {
        panic!("{missing}")
    };
    assert!(source.to_string().contains("No such file"), "{source}");

    let listener = UnixListener::bind(&socket).unwrap();
    let silent = ask();
    let ImageError::Timeout { timeout, .. } = &silent else {
        panic!("{silent}")
    };
    assert_eq!(*timeout, asking.timeout);
    let text = silent.to_string();
    assert!(
        text.contains("containerd.sock did not answer within 200 ms"),
        "{text}"
    );
    drop(listener);

    let dead = ask();
    assert!(matches!(dead, ImageError::Unreachable { .. }), "{dead}");
    assert!(!dir.path().join("made").exists(), "a cache of nothing");
}
