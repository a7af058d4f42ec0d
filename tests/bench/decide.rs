//! What deciding takes: the policy read, the bundle looked at, the rules tried; without
//! containerd's answer, with one that is kept, and with one that is new.
//!
//! Fails where a median is over its bound.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use bundle::Bundle;
use decision::facts::{GatherOptions, Media};
use harness::containerd::Containerd;
use harness::images;
use runu::config::Config;
use runu::dispatch::{Evaluation, ImageLookup, evaluate};

const ROUNDS: usize = 200;

/// The most that a decision may take, in microseconds.
const MAX: f64 = 500.0;
const MAX_WITH_CONTAINERD: f64 = 3000.0;

const NAMESPACE: &str = "bench";

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let lookup = ImageLookup {
        root: None,
        cache: dir.path().join("cache"),
    };
    let config = Config::default();

    let plain = dir.path().join("bundle");
    write_bundle(&plain)?;
    let alone = median(|| {
        decide(&config, &lookup, &plain, |media| {
            matches!(media, Media::None)
        })
    });
    let mut failed = over("an ordinary bundle", alone, MAX);
    let fixture = harness::bundle::Bundle::fixture("kernel-in-image-of-a-pod");
    let unasked = |media: &Media| matches!(media, Media::Unasked);
    let unikernel = median(|| decide(&config, &lookup, fixture.path(), unasked));
    failed |= over("a unikernel's bundle", unikernel, MAX);

    if !harness::containerd::cannot_start() {
        let containerd = Containerd::start(&harness::runu())?;
        containerd.import_into(NAMESPACE, &images::busybox()?)?;
        containerd.ask_ctr(NAMESPACE, &["container", "create", images::BUSYBOX, "one"])?;
        let config = Config {
            containerd: Some(containerd.socket()),
            ..Config::default()
        };
        // Where containerd has its bundles.
        let bundle = dir.path().join("io.containerd.runtime.v2.task");
        let bundle = bundle.join(NAMESPACE).join("one");
        write_bundle(&bundle)?;
        let known = |media: &Media| matches!(media, Media::Known(_));
        let kept = median(|| decide(&config, &lookup, &bundle, known));
        failed |= over("with an answer that is kept", kept, MAX_WITH_CONTAINERD);
        let new = median(|| {
            let _ = fs::remove_dir_all(&lookup.cache);
            decide(&config, &lookup, &bundle, known)
        });
        failed |= over(
            "with a new answer of containerd's",
            new,
            MAX_WITH_CONTAINERD,
        );
    }
    match failed {
        true => Err("deciding takes too long".into()),
        false => Ok(()),
    }
}

/// One decision, in microseconds; `expected` holds what it was made of to be what is measured.
fn decide(
    config: &Config,
    lookup: &ImageLookup,
    bundle: &Path,
    expected: fn(&Media) -> bool,
) -> f64 {
    let start = Instant::now();
    let bundle = Bundle::open(bundle).expect("a bundle");
    let Evaluation { facts, .. } =
        evaluate(config, lookup, &bundle, GatherOptions::default()).expect("a decision");
    let time = start.elapsed().as_secs_f64() * 1e6;
    assert!(expected(&facts.media), "{:?}", facts.media);
    time
}

/// An ordinary bundle with the annotations and environment of a pod's container.
fn write_bundle(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir.join("rootfs/bin"))?;
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "process": {
            "args": ["/bin/app"],
            "env": (0..50).map(|n| format!("SERVICE_{n}_HOST=10.0.0.{n}")).collect::<Vec<_>>(),
            "cwd": "/",
        },
        "annotations": {
            "io.kubernetes.cri.container-type": "container",
            "io.kubernetes.cri.container-name": "app",
            "io.kubernetes.cri.sandbox-namespace": "shop",
        },
    });
    fs::write(dir.join("config.json"), config.to_string())
}

fn over(what: &str, time: f64, max: f64) -> bool {
    let mark = if time > max { "  over its bound" } else { "" };
    println!("{what:44} {time:>8.0} us of {max:.0}{mark}");
    time > max
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut times: Vec<_> = (0..ROUNDS).map(|_| measure()).collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}
