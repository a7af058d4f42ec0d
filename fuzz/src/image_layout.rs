//! An OCI layout's documents: index.json, indexes, manifests, configurations.
//!
//! The input is text: documents with a line `---` between them. The first is
//! index.json, the others are blobs. A digest is what a mutation never guesses,
//! so `@N@` in a document stands for the descriptor's fields of document N, which
//! must come after it: `"digest":"sha256:…","size":…`.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bundle::Config;
use decision::facts::{Facts, GatherOptions, Media};
use image::{Host, Image, Verdict, from_layout};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vmm::BootAbi;

use super::decisions;

/// The most documents of one input.
const MAX: usize = 9;

static DIR: LazyLock<TempDir> = LazyLock::new(|| {
    let shared = Path::new("/dev/shm");
    let dir = tempfile::tempdir_in(shared).or_else(|_| tempfile::tempdir());
    let dir = dir.expect("a directory for the layout");
    fs::create_dir_all(dir.path().join("blobs/sha256")).expect("a directory for blobs");
    let mark = r#"{"imageLayoutVersion":"1.0.0"}"#;
    fs::write(dir.path().join("oci-layout"), mark).expect("a layout's mark");
    dir
});

pub fn run(input: &[u8]) {
    let text = input.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let documents: Vec<&str> = text.split("\n---\n").collect();
    if documents.len() > MAX {
        return;
    }
    let dir = DIR.path();
    let blobs = write(dir, &documents);
    for kvm in [false, true] {
        let host = Host {
            architecture: "amd64".into(),
            kvm,
            cpu_features: ["aes", "sse4_1"].map(str::to_owned).into(),
        };
        let read = from_layout(dir, &host).map(|image| image.expect("a layout"));
        assert_eq!(
            read,
            from_layout(dir, &host).map(Option::unwrap),
            "two answers"
        );
        let media = match read {
            Ok(image) => {
                check(&image, &blobs);
                Media::Known(Box::new(image))
            }
            Err(error) => {
                let line = error.to_string();
                assert!(
                    line.len() < 4096 && !line.contains(char::is_control),
                    "{line:?}"
                );
                Media::Unusable { why: error }
            }
        };
        decide(media);
    }
    for blob in blobs {
        // Two documents may be the same.
        let _ = fs::remove_file(dir.join("blobs/sha256").join(blob));
    }
}

/// Decides about a bundle of which nothing else is known.
fn decide(media: Media) {
    let mut facts = Facts::of_config(&Config::default(), GatherOptions::default());
    facts.set_media(media);
    decisions::check_all(&facts);
    facts.set_synthetic_kernel(BootAbi::Pvh);
    decisions::check_all(&facts);
}

/// Lays the documents out, the last first; the blobs' hex digests.
fn write(dir: &Path, documents: &[&str]) -> Vec<String> {
    let mut blobs = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for (number, document) in documents.iter().enumerate().rev() {
        let mut text = (*document).to_owned();
        for (mark, value) in &fields {
            text = text.replacen(mark, value, 200);
        }
        if number == 0 {
            fs::write(dir.join("index.json"), text).expect("index.json");
            break;
        }
        let hex: String = Sha256::digest(&text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        fs::write(dir.join("blobs/sha256").join(&hex), &text).expect("a blob");
        let value = format!(r#""digest":"sha256:{hex}","size":{}"#, text.len());
        fields.push((format!("@{number}@"), value));
        blobs.push(hex);
    }
    blobs
}

/// What holds for any image.
fn check(image: &Image, blobs: &[String]) {
    let hex = image.digest.strip_prefix("sha256:").expect("a digest");
    assert!(blobs.iter().any(|blob| blob == hex), "not of this layout");
    let chosen = image
        .candidates
        .iter()
        .filter(|c| c.verdict == Verdict::Chosen);
    let chosen: Vec<_> = chosen.map(|c| c.digest.as_str()).collect();
    assert_eq!(chosen, [image.digest.as_str()]);
    let text = serde_json::to_string(image).expect("an image as JSON");
    let again: Image = serde_json::from_str(&text).expect("an image from its JSON");
    assert_eq!(&again, image, "the cache would forget something");
}
