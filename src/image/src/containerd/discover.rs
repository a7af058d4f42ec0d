//! Where containerd listens, and in which of its namespaces a container lives.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::error::ImageError;
use crate::text::cut;

/// The directory above a namespace's in a bundle's path (containerd's runtime v2).
const TASKS: &str = "io.containerd.runtime.v2.task";

/// containerd's gRPC socket: the configured one; or what its shim has in the
/// environment, `GRPC_ADDRESS`, or else `TTRPC_ADDRESS`, which has one ending
/// more. `None` where nothing tells.
pub fn socket(
    environment: impl Fn(&str) -> Option<OsString>,
    configured: Option<&Path>,
) -> Option<PathBuf> {
    if let Some(path) = configured {
        return Some(path.to_owned());
    }
    let absolute = |address: OsString| {
        let bytes = address.as_bytes();
        let path = bytes.strip_prefix(b"unix://").unwrap_or(bytes);
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        path.is_absolute().then_some(path)
    };
    let ttrpc = || {
        let path = environment("TTRPC_ADDRESS").and_then(absolute)?;
        (path.extension()? == "ttrpc").then(|| path.with_extension(""))
    };
    environment("GRPC_ADDRESS")
        .and_then(absolute)
        .or_else(ttrpc)
}

/// The directory of containerd's state that a bundle lies in, where containerd puts bundles:
/// `…/io.containerd.runtime.v2.task/NAMESPACE/ID`.
pub fn state_dir(bundle: &Path) -> Option<&Path> {
    let tasks = bundle.parent()?.parent()?;
    tasks.parent().filter(|_| tasks.ends_with(TASKS))
}

/// The namespace of a container: the last part of `--root`, as containerd's shim
/// gives it, and where the bundle lies where containerd puts bundles
/// (`…/io.containerd.runtime.v2.task/NAMESPACE/ID`).
///
/// # Errors
/// [`ImageError::NoNamespace`] where neither tells, [`ImageError::TwoNamespaces`] where they
/// say two things.
pub fn namespace(root: Option<&Path>, bundle: &Path) -> Result<String, ImageError> {
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let from_root = root.and_then(name);
    let from_bundle = state_dir(bundle).and(bundle.parent()).and_then(name);
    match (from_root, from_bundle) {
        (Some(root), Some(bundle)) if root != bundle => Err(ImageError::TwoNamespaces {
            root: cut(&root),
            bundle: cut(&bundle),
        }),
        (Some(one), _) | (None, Some(one)) => Ok(one),
        (None, None) => Err(ImageError::NoNamespace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_configured_one_or_the_shims() {
        let find = |pairs: &[(&str, &str)], configured: Option<&str>| {
            let environment = |name: &str| {
                let pair = pairs.iter().find(|(key, _)| *key == name);
                pair.map(|(_, value)| OsString::from(value))
            };
            let found = socket(environment, configured.map(Path::new));
            found.map(|path| path.to_str().unwrap().to_owned())
        };
        let found = |path: &str| Some(path.to_owned());
        let grpc = ("GRPC_ADDRESS", "/run/containerd/containerd.sock");
        let ttrpc = ("TTRPC_ADDRESS", "unix:///run/c/containerd.sock.ttrpc");
        assert_eq!(
            find(&[grpc, ttrpc], Some("/conf.sock")),
            found("/conf.sock")
        );
        assert_eq!(find(&[ttrpc, grpc], None), found(grpc.1));
        assert_eq!(find(&[ttrpc], None), found("/run/c/containerd.sock"));
        assert_eq!(
            find(&[("GRPC_ADDRESS", ""), ttrpc], None),
            found("/run/c/containerd.sock")
        );
        assert_eq!(find(&[("TTRPC_ADDRESS", "/run/other.sock")], None), None);
        assert_eq!(find(&[("GRPC_ADDRESS", "relative.sock")], None), None);
        assert_eq!(find(&[], None), None);
    }

    #[test]
    fn the_namespace_is_what_root_and_bundle_both_say() {
        let find = |root: Option<&str>, bundle: &str| {
            namespace(root.map(Path::new), Path::new(bundle)).ok()
        };
        let found = |name: &str| Some(name.to_owned());
        let bundle = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/abc";
        let root = "/run/containerd/runc/k8s.io";
        assert_eq!(find(Some(root), bundle), found("k8s.io"));
        assert_eq!(find(Some(root), "/tmp/bundle"), found("k8s.io"));
        assert_eq!(find(None, bundle), found("k8s.io"));
        assert_eq!(find(Some("/run/containerd/runc/default"), bundle), None);
        assert_eq!(find(None, "/tmp/bundle"), None);
    }
}
