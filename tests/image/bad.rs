//! Layouts that are refused: an error of one line that names the document and
//! the fault, soon, whatever lies there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::{layout, read};
use harness::layout::{INDEX, Layout, MANIFEST};

/// Reads a layout that must be refused with an error that has these words.
#[track_caller]
fn refused(make: impl FnOnce(&Path, &Layout), words: &[&str]) {
    let (dir, layout) = layout();
    make(dir.path(), &layout);
    let start = Instant::now();
    let error = read(dir.path()).expect_err("a refusal").to_string();
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "it took long: {error}"
    );
    assert!(
        error.len() < 1000 && !error.contains(char::is_control),
        "{error}"
    );
    for word in words {
        assert!(error.contains(word), "no {word:?}: {error}");
    }
}

/// A layout of one manifest, which is then corrupt.
#[track_caller]
fn corrupt(change: impl FnOnce(&Path, &Layout, &Value), words: &[&str]) {
    refused(
        |dir, layout| {
            let manifest = layout.manifest(|_| {});
            layout.top(std::slice::from_ref(&manifest));
            change(dir, layout, &manifest);
        },
        words,
    );
}

#[test]
fn marks() {
    let mark = |text: &'static str| {
        move |dir: &Path, _: &Layout, _: &Value| {
            fs::write(dir.join("oci-layout"), text).unwrap();
        }
    };
    corrupt(
        mark(r#"{"imageLayoutVersion":"2.0.0"}"#),
        &["oci-layout", "\"2.0.0\"", "1.0.0"],
    );
    corrupt(mark("{}"), &["oci-layout", "imageLayoutVersion"]);
    corrupt(mark(""), &["oci-layout"]);
    corrupt(
        |dir, _, _| fs::remove_file(dir.join("index.json")).unwrap(),
        &["index.json", "no such file"],
    );
}

#[test]
fn damaged_blobs() {
    corrupt(
        |_, layout, manifest| {
            let path = layout.path(manifest);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text.replace("layer", "lager")).unwrap();
        },
        &["has the digest", "damaged"],
    );
    corrupt(
        |_, layout, manifest| fs::write(layout.path(manifest), "").unwrap(),
        &["manifest sha256:", "bytes that its descriptor says"],
    );
    corrupt(
        |_, layout, manifest| fs::remove_file(layout.path(manifest)).unwrap(),
        &["blobs/sha256/", "no such file"],
    );
    let no_config = |_: &Path, layout: &Layout| {
        layout.top(&[layout.manifest(|m| fs::remove_file(layout.path(&m["config"])).unwrap())]);
    };
    refused(no_config, &["blobs/sha256/", "no such file"]);
}

#[test]
fn files_that_are_none() {
    corrupt(
        |dir, _, _| {
            fs::remove_file(dir.join("index.json")).unwrap();
            nix::unistd::mkfifo(&dir.join("index.json"), Mode::S_IRWXU).unwrap();
        },
        &["index.json", "special file"],
    );
    corrupt(
        |_, layout, manifest| {
            let path = layout.path(manifest);
            fs::remove_file(&path).unwrap();
            nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        },
        &["blobs/sha256/", "special file"],
    );
    corrupt(
        |dir, _, _| {
            let elsewhere = tempfile::tempdir().unwrap();
            fs::rename(dir.join("blobs"), elsewhere.path().join("blobs")).unwrap();
            symlink(elsewhere.path().join("blobs"), dir.join("blobs")).unwrap();
        },
        &["blobs/sha256/"],
    );
    corrupt(
        |dir, _, _| {
            fs::remove_file(dir.join("index.json")).unwrap();
            symlink("../../../../etc/passwd", dir.join("index.json")).unwrap();
        },
        &["index.json", "leads out of the bundle"],
    );
    corrupt(
        |dir, _, _| {
            fs::remove_file(dir.join("oci-layout")).unwrap();
            fs::create_dir(dir.join("oci-layout")).unwrap();
        },
        &["oci-layout", "directory"],
    );
}

#[test]
fn too_much_of_everything() {
    let max = 4 << 20;
    corrupt(
        |dir, _, _| {
            let index = fs::File::create(dir.join("index.json")).unwrap();
            index.set_len(1 << 30).unwrap();
        },
        &["index.json", "1073741824 bytes", "4194304"],
    );
    refused(
        |_, layout| {
            let mut manifest = layout.manifest(|_| {});
            manifest["size"] = (max + 1).into();
            layout.top(&[manifest]);
        },
        &["manifest sha256:", "4194305 bytes"],
    );
    refused(
        |_, layout| layout.top(&vec![layout.manifest(|_| {}); 10_000]),
        &["index.json", "at most 128"],
    );
    refused(
        |_, layout| {
            let index = layout.index(&vec![layout.manifest(|_| {}); 100]);
            layout.top(&[index.clone(), index]);
        },
        &["more than 128 manifests"],
    );
    // Each level names the one below a hundred times: a million in all.
    refused(
        |_, layout| {
            let mut index = layout.index(&[]);
            for _ in 0..2 {
                index = layout.index(&vec![index; 100]);
            }
            layout.top(&vec![index; 100]);
        },
        &["more than"],
    );
    refused(
        |_, layout| {
            let text = format!(r#"{{"manifests":[]}}{}"#, " ".repeat(max - 20));
            layout.top(&vec![layout.blob(INDEX, text.as_bytes()); 9]);
        },
        &["33554432 bytes"],
    );
    refused(
        |_, layout| {
            let mut index = layout.manifest(|_| {});
            for _ in 0..6 {
                index = layout.index(&[index]);
            }
            layout.top(&[index]);
        },
        &["nest deeper than 4"],
    );
    refused(
        |_, layout| {
            layout.top(&[
                layout.manifest(|m| m["layers"] = json!(vec![m["layers"][0].clone(); 2000]))
            ])
        },
        &["at most 1024"],
    );
}

#[test]
fn an_index_that_points_at_itself() {
    refused(
        |_, layout| {
            let mut own = layout.index(&[]);
            let text = json!({ "manifests": [own] }).to_string();
            fs::write(layout.path(&own), &text).unwrap();
            own["size"] = text.len().into();
            layout.top(&[own]);
        },
        &["has the digest"],
    );
}

#[test]
fn documents_that_say_two_things() {
    refused(
        |_, layout| layout.top(&[layout.manifest(|m| m["manifests"] = json!([]))]),
        &["manifest sha256:", "an index and a manifest at once"],
    );
    refused(
        |_, layout| layout.top_text(r#"{"manifests":[],"config":{}}"#),
        &["index.json", "an index and a manifest at once"],
    );
    refused(
        |_, layout| layout.top(&[layout.manifest(|m| m["mediaType"] = INDEX.into())]),
        &["media type", INDEX, MANIFEST],
    );
    refused(
        |_, layout| {
            let mut one = layout.manifest(|m| m["artifactType"] = "a/one".into());
            one["artifactType"] = "a/two".into();
            layout.top(&[one]);
        },
        &["artifactType", "a/one", "a/two"],
    );
    refused(
        |_, layout| {
            layout.top(&[layout.manifest(|m| {
                let mut other = m["layers"][0].clone();
                m["layers"][0]["annotations"] = json!({ "runu.dev/kernel": "one" });
                other["annotations"] = json!({ "runu.dev/kernel": "two" });
                m["layers"].as_array_mut().unwrap().push(other);
            })]);
        },
        &["layer annotation runu.dev/kernel", "\"one\"", "\"two\""],
    );
    corrupt(
        |dir, layout, manifest| {
            let text = fs::read_to_string(dir.join("index.json")).unwrap();
            let end = text.rfind("}]").unwrap();
            let twice = r#","annotations":{"key":"one","key":"two"}"#;
            layout.top_text(&format!("{}{twice}{}", &text[..end], &text[end..]));
            assert!(layout.path(manifest).exists());
        },
        &["index.json", "key \"key\" stands twice"],
    );
}

#[test]
fn documents_that_are_none() {
    let top = |text: &'static str| move |_: &Path, layout: &Layout| layout.top_text(text);
    refused(top(""), &["index.json"]);
    refused(
        top(r#"{"schemaVersion":2,"manifests":[{"mediaType":"#),
        &["index.json", "EOF"],
    );
    refused(top(r#"{"schemaVersion":2}"#), &["index.json", "manifests"]);
    refused(
        top(r#"{"schemaVersion":1,"manifests":[]}"#),
        &["schemaVersion is 1"],
    );
    refused(
        top(r#"{"schemaVersion":2,"manifests":[]}"#),
        &["no manifest"],
    );
    refused(
        top(r#"{"manifests":[],"manifests":[]}"#),
        &["duplicate field"],
    );
    refused(top("[[[[[[[[["), &["index.json"]);
    refused(
        |_, layout| layout.top_text(&"[".repeat(4 << 20)),
        &["index.json"],
    );
    refused(
        |_, layout| layout.top_text(&format!("{:?}", "x\n".repeat(1 << 20))),
        &["index.json", "…"],
    );
    refused(
        |_, layout| layout.top(&[layout.blob(MANIFEST, &[0xff; 100])]),
        &["manifest sha256:"],
    );
    for digest in [
        "sha256:../../../../etc/passwd",
        "md5:0",
        "",
        "sha256:\u{7}\n",
    ] {
        refused(
            |_, layout| {
                layout.top(&[json!({ "mediaType": MANIFEST, "digest": digest, "size": 2 })])
            },
            &["digest", "sha256 and sha512"],
        );
    }
}
