//! Pods that talk to each other over the node's bridge.

use std::io;
use std::net::IpAddr;

use tonic::Code;

use super::{Container, ContainerSpec, Containerd, Pod, PodSpec};

/// Serves a directory at port 8080, and says by `/cgi-bin/sum` what sha256sum says of what it is
/// sent.
const ORDINARY: &str = "mkdir -p /srv/cgi-bin && cd /srv
printf '#!/bin/sh\\necho; exec sha256sum\\n' >cgi-bin/sum && chmod +x cgi-bin/sum
echo ready; exec httpd -f -p 8080 -h /srv";

/// An ordinary container with a web server.
pub fn ordinary() -> ContainerSpec<'static> {
    ContainerSpec {
        name: "ordinary",
        command: &["sh", "-c"],
        args: &[ORDINARY],
        ..Default::default()
    }
}

/// A pod with a container that serves.
pub struct Server {
    pub pod: Pod,
    pub container: Container,
    pub ip: IpAddr,
}

impl Containerd {
    /// Runs a container that says `ready`, in a pod of its own.
    pub fn serve(&self, pod: &PodSpec, spec: &ContainerSpec) -> io::Result<Server> {
        let pod = self.run_pod(pod).map_err(io::Error::other)?;
        let container = self.run(&pod, spec).map_err(io::Error::other)?;
        let ready = container.wait_log("stdout", "ready\n");
        ready.map_err(io::Error::other)?;
        let (_, ip) = self.pod_status(&pod).map_err(io::Error::other)?;
        let ip = ip.parse().map_err(io::Error::other)?;
        Ok(Server { pod, container, ip })
    }

    /// Stops and removes a pod and what runs in it, if it is still there.
    pub fn end_pod(&self, pod: &Pod) -> io::Result<()> {
        match self.stop_pod(pod) {
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(io::Error::other(status)),
            Ok(()) => self.remove_pod(pod).map_err(io::Error::other),
        }
    }

    /// What a shell in a container prints, if it succeeds.
    pub fn shell(&self, container: &Container, script: &str) -> io::Result<String> {
        let answer = self.exec(container, &["sh", "-c", script]);
        let answer = answer.map_err(io::Error::other)?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match answer.exit_code {
            0 => Ok(text(&answer.stdout)),
            code => Err(io::Error::other(format!(
                "{script}: {code}: {}{}",
                text(&answer.stdout),
                text(&answer.stderr)
            ))),
        }
    }
}
