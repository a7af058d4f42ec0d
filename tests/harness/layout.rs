//! OCI image layouts, well-formed or not (image-spec, image-layout.md).

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// A layout in a directory. What is put in gives a descriptor (JSON), to be changed
/// and put into an index.
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let dir = dir.to_owned();
        Self { dir }
    }

    /// Puts any blob in.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let hex: String = Sha256::digest(bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        fs::write(self.dir.join("blobs/sha256").join(&hex), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() })
    }

    pub fn json(&self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, document.to_string().as_bytes())
    }

    /// A manifest of one empty layer with a configuration for linux/amd64, after
    /// `change`. Its descriptor names no platform.
    pub fn manifest(&self, change: impl FnOnce(&mut Value)) -> Value {
        // The end of an archive, and nothing before it.
        let layer = self.blob(LAYER, &[0; 1024]);
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Labels": { "maintainer": "tests" } },
            "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
        });
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.json(CONFIG, &config),
            "layers": [layer],
        });
        change(&mut manifest);
        self.json(MANIFEST, &manifest)
    }

    /// A manifest that no other equals, with a platform `os/architecture[/variant]`
    /// in its descriptor.
    pub fn for_platform(&self, platform: &str) -> Value {
        let mut descriptor = self.manifest(|m| m["annotations"] = json!({ "for": platform }));
        let mut parts = platform.split('/');
        descriptor["platform"] = json!({ "os": parts.next(), "architecture": parts.next() });
        if let Some(variant) = parts.next() {
            descriptor["platform"]["variant"] = variant.into();
        }
        descriptor
    }

    /// An index as a blob.
    pub fn index(&self, manifests: &[Value]) -> Value {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        self.json(INDEX, &index)
    }

    /// Writes index.json.
    pub fn top(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        self.top_text(&index.to_string());
    }

    pub fn top_text(&self, text: &str) {
        fs::write(self.dir.join("index.json"), text).unwrap();
    }

    /// Where a descriptor's blob lies.
    pub fn path(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap();
        self.dir.join("blobs").join(digest.replace(':', "/"))
    }
}

/// Lays out an image in `directory`, a manifest for each of `list`:
///
/// ```text
/// {"platform": "OS/ARCHITECTURE", "os_features": [], "artifact_type": "", "config_type": "",
///  "layers": [{"type": "", "annotations": {}}], "annotations": {}, "labels": {}, "damaged": true}
/// ```
///
/// Each field may be missing.
pub fn from_list(dir: &Path, list: &Value) {
    let layout = Layout::new(dir);
    let manifests = list.as_array().unwrap().iter();
    let manifests: Vec<_> = manifests.map(|entry| layout.entry(entry)).collect();
    layout.top(&manifests);
}

impl Layout {
    fn entry(&self, entry: &Value) -> Value {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": { "Labels": entry["labels"] },
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        let config_type = entry["config_type"].as_str().unwrap_or(CONFIG);
        let layers = entry["layers"].as_array().into_iter().flatten();
        let layers: Vec<_> = layers
            .map(|layer| {
                let mut blob = self.blob(layer["type"].as_str().unwrap_or(LAYER), b"no tar");
                blob["annotations"] = layer["annotations"].clone();
                blob
            })
            .collect();
        let mut descriptor = self.manifest(|manifest| {
            manifest["config"] = self.json(config_type, &config);
            manifest["layers"] = layers.into();
            for (field, of) in [
                ("artifactType", "artifact_type"),
                ("annotations", "annotations"),
            ] {
                if !entry[of].is_null() {
                    manifest[field] = entry[of].clone();
                }
            }
        });
        if let Some((os, architecture)) = entry["platform"].as_str().and_then(|p| p.split_once('/'))
        {
            descriptor["platform"] = json!({ "os": os, "architecture": architecture });
            if !entry["os_features"].is_null() {
                descriptor["platform"]["os.features"] = entry["os_features"].clone();
            }
        }
        if entry["damaged"] == true {
            let path = self.path(&descriptor);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text.replace("schemaVersion", "SchemaVersion")).unwrap();
        }
        descriptor
    }
}
