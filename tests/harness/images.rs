//! Images for the tests, written as OCI archives: no registry is reachable
//! where the tests run.
//!
//! An archive is a tar of an OCI image layout (image-spec, "OCI Image Layout
//! Specification"): `oci-layout`, `index.json` and `blobs/sha256/<digest>`.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The sandbox ("pause") image's name.
pub const PAUSE: &str = "localhost/runu-test/pause:1";
/// The ordinary image's name: busybox with all its applets.
pub const BUSYBOX: &str = "localhost/runu-test/busybox:1";

/// One of the project's own guests and the ABI that it boots by, as
/// `fixtures/guests` names them.
pub type Guest = (&'static str, &'static str);

/// The name of a guest's image.
pub fn unikernel_name((name, abi): Guest) -> String {
    format!("localhost/runu-test/{name}-{abi}:1")
}

/// One thing in an image's root filesystem. Paths are relative to it.
pub enum Entry {
    Dir(&'static str),
    File {
        path: &'static str,
        bytes: Vec<u8>,
        mode: u32,
    },
    Link {
        path: String,
        target: &'static str,
    },
}

/// An image of one uncompressed layer, for linux/amd64.
pub struct Image {
    pub name: String,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub entries: Vec<Entry>,
    /// The manifest's artifact type.
    pub artifact_type: Option<&'static str>,
}

/// The pause image: busybox, asleep.
pub fn pause() -> io::Result<Image> {
    Ok(Image {
        name: PAUSE.to_owned(),
        entrypoint: ["/bin/busybox", "sleep", "2147483647"]
            .map(str::to_owned)
            .to_vec(),
        cmd: Vec::new(),
        entries: busybox_entries()?,
        artifact_type: None,
    })
}

/// The ordinary image: busybox and a link for each applet.
pub fn busybox() -> io::Result<Image> {
    let mut entries = busybox_entries()?;
    let applets = Command::new(super::containerd::BUSYBOX)
        .arg("--list")
        .output()?;
    for applet in String::from_utf8_lossy(&applets.stdout).lines() {
        if applet != "busybox" {
            entries.push(Entry::Link {
                path: format!("bin/{applet}"),
                target: "busybox",
            });
        }
    }
    Ok(Image {
        name: BUSYBOX.to_owned(),
        entrypoint: Vec::new(),
        cmd: vec!["/bin/sh".to_owned()],
        entries,
        artifact_type: None,
    })
}

/// A guest's image: its ELF at
/// `/unikraft/bin/kernel`, which is what makes it a unikernel. The `Cmd` is
/// there because callers want one.
pub fn unikernel(guest: Guest) -> io::Result<Image> {
    let bytes = fs::read(super::guest(guest.0, guest.1))?;
    Ok(Image {
        name: unikernel_name(guest),
        entrypoint: Vec::new(),
        cmd: vec![guest.0.to_owned()],
        entries: vec![
            Entry::Dir("unikraft"),
            Entry::Dir("unikraft/bin"),
            Entry::File {
                path: "unikraft/bin/kernel",
                bytes,
                mode: 0o644,
            },
        ],
        artifact_type: None,
    })
}

/// The name of [`artifact`]'s image.
pub const ARTIFACT: &str = "localhost/runu-test/artifact:1";

/// An image that only its artifact type makes a unikernel: a guest at /boot/kernel, beside
/// a busybox, so that it can be an ordinary container too.
pub fn artifact(guest: Guest) -> io::Result<Image> {
    let mut entries = busybox_entries()?;
    entries.push(Entry::Dir("boot"));
    entries.push(Entry::File {
        path: "boot/kernel",
        bytes: fs::read(super::guest(guest.0, guest.1))?,
        mode: 0o644,
    });
    Ok(Image {
        name: ARTIFACT.to_owned(),
        entrypoint: Vec::new(),
        cmd: ["/bin/busybox", "echo", "an ordinary container"]
            .map(str::to_owned)
            .to_vec(),
        entries,
        artifact_type: Some("application/vnd.runu.unikernel.v1"),
    })
}

fn busybox_entries() -> io::Result<Vec<Entry>> {
    let mut entries: Vec<_> = ["bin", "dev", "etc", "proc", "sys", "tmp"]
        .map(Entry::Dir)
        .into();
    entries.push(Entry::File {
        path: "bin/busybox",
        bytes: fs::read(super::containerd::BUSYBOX)?,
        mode: 0o755,
    });
    Ok(entries)
}

impl Image {
    /// Writes the image to `archive` as an OCI archive that `ctr image import`
    /// takes and names.
    pub fn write(&self, archive: &Path) -> io::Result<()> {
        let layer = tar_of(&self.entries)?;
        let config = to_bytes(&self.config(&digest(&layer)));
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        if let Some(artifact_type) = self.artifact_type {
            manifest["artifactType"] = artifact_type.into();
        }
        let manifest = to_bytes(&manifest);
        let mut target = descriptor(MANIFEST, &manifest);
        // `ctr image import` takes the whole name from the first annotation;
        // other tools look at the second.
        target["annotations"] = json!({
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": self.name,
        });
        let index = json!({ "schemaVersion": 2, "manifests": [target] });

        let mut tar = tar::Builder::new(File::create(archive)?);
        append(
            &mut tar,
            "oci-layout",
            br#"{"imageLayoutVersion":"1.0.0"}"#,
            0o644,
        )?;
        append(&mut tar, "index.json", &to_bytes(&index), 0o644)?;
        for blob in [&layer, &config, &manifest] {
            append(
                &mut tar,
                &format!("blobs/sha256/{}", hex(blob)),
                blob,
                0o644,
            )?;
        }
        tar.finish()
    }

    /// Writes the root filesystem alone, as `docker import` takes it.
    pub fn write_rootfs(&self, archive: &Path) -> io::Result<()> {
        fs::write(archive, tar_of(&self.entries)?)
    }

    fn config(&self, diff_id: &str) -> Value {
        json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Cmd": self.cmd,
                "Env": ["PATH=/bin"],
            },
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        })
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(blob), "size": blob.len() })
}

fn to_bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", hex(blob))
}

fn hex(blob: &[u8]) -> String {
    Sha256::digest(blob)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn tar_of(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        match entry {
            Entry::Dir(path) => {
                let mut header = header(tar::EntryType::Directory, 0, 0o755);
                tar.append_data(&mut header, path, io::empty())?;
            }
            Entry::File { path, bytes, mode } => append(&mut tar, path, bytes, *mode)?,
            Entry::Link { path, target } => {
                let mut header = header(tar::EntryType::Symlink, 0, 0o777);
                tar.append_link(&mut header, path, target)?;
            }
        }
    }
    tar.into_inner()
}

fn append<W: io::Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, bytes.len() as u64, mode);
    tar.append_data(&mut header, path, bytes)
}

/// A header that is the same every time: root's, and of the epoch.
fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}
