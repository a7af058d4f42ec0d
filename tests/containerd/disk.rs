//! A snapshotter's device: containerd's shim mounts it at the bundle's rootfs before it calls
//! `create`, and unmounts it when the task is deleted.

use std::fs;
use std::path::Path;

use prost::Message;
use tonic::{Request, Status};

use crate::Result;
use harness::bundle::Bundle;
use harness::containerd::{self, Containerd, unary};
use harness::mounted::Mounted;
use harness::{self, program::wait_for};

const NAMESPACE: &str = "disks";
const ID: &str = "on-a-disk";

const BLOCK: usize = 512;
/// The guest's own blocks lie behind the file system, in KiB.
const FILE_SYSTEM: usize = 4000;

/// The fields that are used of containerd's api/services/tasks/v1/tasks.proto,
/// api/types/mount.proto and runtime/v2/runc/options/oci.proto.
#[derive(Clone, PartialEq, Message)]
struct CreateTask {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(message, repeated, tag = "3")]
    rootfs: Vec<Mount>,
    #[prost(string, tag = "5")]
    stdout: String,
    #[prost(string, tag = "6")]
    stderr: String,
    #[prost(message, optional, tag = "9")]
    options: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Options {
    #[prost(string, tag = "6")]
    binary_name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(string, repeated, tag = "4")]
    options: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Task {
    #[prost(string, tag = "1")]
    container_id: String,
}

/// A container of containerd's, whose tasks have a device for their rootfs.
struct OnDisk<'a> {
    containerd: &'a Containerd,
    device: &'a Path,
}

impl OnDisk<'_> {
    fn ctr(&self, args: &[&str]) -> String {
        self.containerd.ask_ctr(NAMESPACE, args).unwrap()
    }

    fn call<Q: Message + 'static>(
        &self,
        method: &str,
        message: Q,
    ) -> std::result::Result<(), Status> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let mut request = Request::new(message);
        let header = "containerd-namespace";
        request
            .metadata_mut()
            .insert(header, NAMESPACE.parse().unwrap());
        let path = format!("/containerd.services.tasks.v1.Tasks/{method}");
        let socket = self.containerd.socket();
        let answer = unary::<Q, ()>(&socket, &path, request);
        runtime.unwrap().block_on(answer)
    }

    /// The container, of this configuration.
    fn make(&self, bundle: &Bundle) {
        let config = bundle.path().join("config.json");
        let config = config.to_str().unwrap();
        self.ctr(&["containers", "create", "--config", config, ID]);
    }

    fn create(&self, log: &Path) -> std::result::Result<(), Status> {
        let mount = Mount {
            kind: "ext2".to_owned(),
            source: self.device.to_str().unwrap().to_owned(),
            options: vec!["rw".to_owned(), "noatime".to_owned()],
        };
        let binary_name = harness::runu().to_str().unwrap().to_owned();
        let log = format!("file://{}", log.display());
        let task = CreateTask {
            container_id: ID.to_owned(),
            rootfs: vec![mount],
            stdout: log.clone(),
            stderr: log,
            options: Some(Any {
                type_url: "containerd.runc.v1.Options".to_owned(),
                value: Options { binary_name }.encode_to_vec(),
            }),
        };
        self.call("Create", task)
    }

    /// Runs a task to its end, and deletes it.
    fn run(&self, log: &Path) {
        self.create(log).unwrap();
        let container_id = ID.to_owned();
        self.call("Start", Task { container_id }).unwrap();
        wait_for("the task's end", || {
            self.ctr(&["tasks", "ls"]).contains("STOPPED").then_some(())
        });
        self.ctr(&["tasks", "rm", ID]);
    }
}

#[test]
fn a_snapshotters_device_is_the_guests_disk() -> Result {
    if containerd::cannot_start() || harness::cannot_boot() {
        return Ok(());
    }
    let behind = FILE_SYSTEM * 1024;
    let mut blocks = vec![0; behind + 8 * BLOCK];
    blocks[behind + BLOCK..][..5].copy_from_slice(b"image");
    let at = format!("at={}", behind / BLOCK);
    let bundle = Bundle::runnable(ID, &["disk", &at]).annotate("runu.dev/rootfs", "block");
    let Some(root) = Mounted::new(bundle, &blocks, FILE_SYSTEM) else {
        return Ok(());
    };
    root.bundle
        .add("/unikraft/bin/kernel", &harness::guest("disk", "solo5"));
    // containerd's shim mounts it, in containerd's own namespace.
    root.unmount();

    let containerd = Containerd::start(&harness::runu())?;
    let before = containerd.census()?;
    let device = &root.disk.device;
    let container = OnDisk {
        containerd: &containerd,
        device,
    };
    container.make(&root.bundle);
    let log = containerd.node().dir().join("disk.log");
    // The device is mounted again for the second task.
    for _ in 0..2 {
        container.run(&log);
        let said = fs::read_to_string(&log)?;
        assert!(said.contains("found: image\nwrite: 0"), "{said}");
        assert_eq!(&root.disk.content()[behind + 2 * BLOCK..][..5], b"guest");
    }
    container.ctr(&["containers", "rm", ID]);

    // One that fails gives the shim its mount back, to be unmounted.
    let failing = serde_json::json!({ "createRuntime": [{ "path": "/bin/false" }] });
    let bundle = Bundle::runnable(ID, &["disk"])
        .annotate("runu.dev/rootfs", "block")
        .with(|config| config["hooks"] = failing);
    container.make(&bundle);
    let refused = container.create(&log).unwrap_err();
    assert!(refused.message().contains("hook"), "{refused}");
    container.ctr(&["containers", "rm", ID]);
    // Nobody has it any more: neither the guest nor a mount in some namespace.
    root.mount("rw");
    assert!(root.bundle.rootfs().join("unikraft/bin/kernel").exists());
    root.unmount();
    containerd.assert_nothing_left_since(&before);
    Ok(())
}
