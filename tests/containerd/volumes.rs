//! A ConfigMap as the kubelet lays it into a pod, served by the web unikernel.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::{Result, WEB, unikernel};
use harness::containerd::{self, ContainerSpec, Containerd, Mount, PodSpec};
use harness::{self, images};

/// Gives a ConfigMap its next content: a directory of its own, to which the link `..data` leads
/// from one moment to the next (Kubernetes, pkg/volume/util/atomic_writer.go).
fn update(volume: &Path, version: &str, page: &str) -> Result {
    let (dir, link) = (volume.join(version), volume.join("..data_tmp"));
    fs::create_dir(&dir)?;
    fs::write(dir.join("index.html"), page)?;
    symlink(version, &link)?;
    fs::rename(link, volume.join("..data"))?;
    let file = volume.join("index.html");
    if !file.is_symlink() {
        symlink("..data/index.html", file)?;
    }
    Ok(())
}

#[test]
fn a_config_map_is_served_and_its_update_seen() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let containerd = Containerd::start(&harness::runu())?;
    containerd.import(&images::unikernel(WEB)?)?;
    let before = containerd.census()?;
    let volume = containerd.node().dir().join("config-map");
    fs::create_dir(&volume)?;
    update(&volume, "..1", "the first page\n")?;

    let named = |name| PodSpec {
        name,
        ..Default::default()
    };
    let ordinary = containerd.serve(&named("ordinary"), &containerd::ordinary())?;
    let mounts = [Mount {
        from: &volume,
        to: "/site",
        read_only: true,
    }];
    let spec = ContainerSpec {
        mounts: &mounts,
        ..unikernel(WEB, &["web", "root=/site"])
    };
    let web = containerd.serve(&named("web"), &spec)?;
    let script = format!("wget -q -O - http://{}/", web.ip);
    let page = || containerd.shell(&ordinary.container, &script);
    assert_eq!(page()?, "the first page\n");

    for (version, text) in [("..2", "the second page\n"), ("..3", "")] {
        update(&volume, version, text)?;
        assert_eq!(page()?, text);
    }
    fs::remove_dir_all(volume.join("..1"))?;
    assert_eq!(page()?, "");

    // The image's own files are there as well, but not where it serves.
    let script = format!("wget -q -O - http://{}/unikraft/bin/kernel", web.ip);
    assert!(containerd.shell(&ordinary.container, &script).is_err());
    containerd.end_pod(&web.pod)?;
    containerd.end_pod(&ordinary.pod)?;
    containerd.assert_nothing_left_since(&before);
    Ok(())
}
