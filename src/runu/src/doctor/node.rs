//! What runu itself needs of the node: its files, the delegate, containerd.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::check::{Check, one_line};
use crate::config::{Config, ConfigError};
use crate::runc;
use decision::policy::Policy;
use image;

/// Where containerd listens unless it is told otherwise.
const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// The configuration, and the defaults where it is broken.
pub(super) fn configuration(config: Result<Config, ConfigError>) -> (Config, Check) {
    match config {
        Ok(config) => (config, Check::ok("configuration", "can be read")),
        Err(why) => (
            Config::default(),
            Check::missing(
                "configuration",
                one_line(&why),
                "mend the file: until then no container can be created",
            ),
        ),
    }
}

/// The site's rules.
pub(super) fn policy(config: &Config) -> Check {
    let dir = config.policy.display();
    match Policy::load(&config.policy) {
        Ok(_) => Check::ok("policy", format!("the rules in {dir} and the default")),
        Err(why) => Check::missing(
            "policy",
            one_line(&why),
            "mend the file, see runu policy check: until then no container can be created",
        ),
    }
}

/// Who runs ordinary containers, and its version.
pub(super) fn delegate(config: &Config) -> Check {
    let cure = "install runc, or name it in /etc/runu/config.toml (runtimes)";
    let path = match runc::find(config) {
        Ok(path) => path,
        Err(why) => return Check::missing("delegate", one_line(&why), cure),
    };
    match runc::output(config, &["--version".into()]) {
        Ok(output) => {
            let output = String::from_utf8_lossy(&output);
            let version = output.lines().next().unwrap_or_default().trim();
            Check::ok("delegate", format!("{}: {version}", path.display()))
                .with(json!({ "path": path, "version": version }))
        }
        Err(why) => Check::missing("delegate", one_line(&why), cure),
    }
}

/// Who serves guests their files by virtio-fs.
pub(super) fn virtiofsd(config: &Config) -> Check {
    match config.find_virtiofsd() {
        Ok(path) => {
            Check::ok("virtiofsd", path.display().to_string()).with(json!({ "path": path }))
        }
        Err(why) => Check::limited(
            "virtiofsd",
            one_line(&why),
            "until then no guest can have its root by virtio-fs; 9p needs no other program",
        ),
    }
}

/// The containerd that would be asked for media types.
pub(super) fn containerd(config: &Config) -> Check {
    let environment = |name: &str| std::env::var_os(name);
    let socket = image::socket(environment, config.containerd.as_deref())
        .unwrap_or_else(|| PathBuf::from(CONTAINERD));
    let details = json!({ "socket": socket });
    match UnixStream::connect(&socket) {
        Ok(_) => Check::ok("containerd", format!("{} answers", socket.display())),
        Err(why) => absent(&socket, &why),
    }
    .with(details)
}

fn absent(socket: &Path, why: &std::io::Error) -> Check {
    Check::limited(
        "containerd",
        format!("{}: {why}", socket.display()),
        "an image's media types are seen in layouts only; where containerd listens elsewhere, \
         name its socket in /etc/runu/config.toml (containerd)",
    )
}
