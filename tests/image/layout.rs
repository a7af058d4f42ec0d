//! Well-formed layouts.

use image::{Source, from_layout};
use serde_json::json;

use crate::{host, layout, read};
use harness::layout::{CONFIG, LAYER, MANIFEST};

#[test]
fn a_dir_without_a_layout_has_no_image() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.json"), "not looked at").unwrap();
    assert_eq!(from_layout(dir.path(), &host(true)), Ok(None));
}

#[test]
fn one_manifest_says_all_it_has() {
    let (dir, layout) = layout();
    let mut descriptor = layout.manifest(|m| {
        m["artifactType"] = "application/vnd.example.thing".into();
        m["annotations"] = json!({ "both": "manifest", "nothing": null });
        m["layers"][0]["annotations"] = json!({ "of": "a layer" });
        m["layers"].as_array_mut().unwrap().push(json!({
            "mediaType": "application/vnd.example.data", "digest": "blake3:1", "size": 1,
            "annotations": { "of": "a layer", "and": "another" },
        }));
    });
    descriptor["annotations"] = json!({ "both": "descriptor", "ref": "latest" });
    layout.top(&[descriptor.clone()]);
    let image = read(dir.path()).unwrap();

    assert_eq!(image.source, Source::Layout);
    assert_eq!(image.digest, descriptor["digest"]);
    assert_eq!(image.media_type, MANIFEST);
    let kind = image.artifact_type.as_deref();
    assert_eq!(kind, Some("application/vnd.example.thing"));
    assert_eq!(image.config_type, CONFIG);
    assert_eq!(image.layer_types, [LAYER, "application/vnd.example.data"]);
    let platform = image.platform.as_ref().unwrap();
    assert_eq!(platform.to_string(), "linux/amd64");
    let shown = serde_json::to_value(&image).unwrap();
    assert_eq!(
        shown["annotations"],
        json!({ "both": "manifest", "nothing": "", "ref": "latest" })
    );
    assert_eq!(
        shown["layer_annotations"],
        json!({ "of": "a layer", "and": "another" })
    );
    assert_eq!(shown["labels"], json!({ "maintainer": "tests" }));
    assert_eq!(image.evidence, None);
}

#[test]
fn what_says_that_it_is_a_unikernel_is_told() {
    type Change = fn(&mut serde_json::Value);
    let cases: [(&str, Change); 5] = [
        (
            "its artifact type is application/vnd.unikraft.image.v1",
            |m| {
                m["artifactType"] = "application/vnd.unikraft.image.v1".into();
            },
        ),
        ("application/vnd.example.unikernel.kernel", |m| {
            m["layers"][0]["mediaType"] = "application/vnd.example.unikernel.kernel".into();
        }),
        ("org.unikraft.kernel.version", |m| {
            m["annotations"] = json!({ "org.unikraft.kernel.version": "0.17" });
        }),
        ("org.unikraft.kernel.image", |m| {
            m["layers"][0]["annotations"] = json!({ "org.unikraft.kernel.image": "/k" });
        }),
        ("com.urunc.unikernel.unikernelType", |m| {
            m["annotations"] = json!({ "com.urunc.unikernel.unikernelType": "unikraft" });
        }),
    ];
    for (words, change) in cases {
        let (dir, layout) = layout();
        layout.top(&[layout.manifest(change)]);
        let evidence = read(dir.path()).unwrap().evidence;
        assert!(
            evidence.as_ref().is_some_and(|s| s.contains(words)),
            "{evidence:?}"
        );
    }
    let (dir, layout) = layout();
    layout.top(&[layout.for_platform("qemu/x86_64")]);
    let evidence = read(dir.path()).unwrap().evidence;
    assert_eq!(evidence.as_deref(), Some("its platform is qemu/x86_64"));
}

#[test]
fn indexes_nest_and_dockers_types_do_as_well() {
    let (dir, layout) = layout();
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let wanted = layout.json(
        docker,
        &json!({
            "schemaVersion": 2,
            "mediaType": docker,
            "config": layout.json(
                "application/vnd.docker.container.image.v1+json",
                &json!({ "os": "linux", "architecture": "amd64", "config": { "Labels": null } }),
            ),
            "layers": null,
        }),
    );
    let docker_list = layout.json(list, &json!({ "manifests": [wanted] }));
    let nested = layout.index(&[layout.index(&[docker_list])]);
    layout.top(&[nested]);
    let image = read(dir.path()).unwrap();
    assert_eq!(image.digest, wanted["digest"]);
    assert_eq!(image.media_type, docker);
    assert!(image.labels.is_empty() && image.layer_types.is_empty());
}

#[test]
fn a_configuration_of_another_type_is_not_read() {
    let (dir, layout) = layout();
    let empty = "application/vnd.oci.empty.v1+json";
    let mut descriptor = layout.manifest(|m| m["config"] = layout.blob(empty, b"[]"));
    // What the image-spec lets a descriptor say of a manifest without a type of its own.
    descriptor["artifactType"] = empty.into();
    layout.top(&[descriptor]);
    let image = read(dir.path()).unwrap();
    assert_eq!(image.config_type, empty);
    assert_eq!((image.platform, image.artifact_type), (None, None));
}

#[test]
fn sha512_serves_too() {
    use sha2::{Digest, Sha512};
    let (dir, layout) = layout();
    let mut descriptor = layout.manifest(|_| {});
    let bytes = std::fs::read(layout.path(&descriptor)).unwrap();
    let hex: String = Sha512::digest(&bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    std::fs::create_dir(dir.path().join("blobs/sha512")).unwrap();
    std::fs::write(dir.path().join("blobs/sha512").join(&hex), bytes).unwrap();
    descriptor["digest"] = format!("sha512:{hex}").into();
    layout.top(&[descriptor]);
    assert_eq!(read(dir.path()).unwrap().digest, format!("sha512:{hex}"));
}
