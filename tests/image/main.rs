//! What images say of themselves: read from layouts, good, bad and of many
//! platforms, and from a containerd.

mod bad;
mod containerd;
mod layout;
mod select_manifest;

use std::path::Path;

use harness::layout::Layout;
use image::{Host, Image, ImageError, from_layout};
use tempfile::TempDir;

/// An amd64 host of the second level.
fn host(kvm: bool) -> Host {
    let features = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3 aes";
    Host {
        architecture: "amd64".into(),
        kvm,
        cpu_features: features.split(' ').map(str::to_owned).collect(),
    }
}

/// A directory with a layout that has no index yet.
fn layout() -> (TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(dir.path());
    (dir, layout)
}

fn read(dir: &Path) -> Result<Image, ImageError> {
    from_layout(dir, &host(true)).map(|image| image.expect("a layout"))
}
