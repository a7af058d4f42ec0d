//! `runu.dev/…` annotations, from text to types.
//!
//! A pod's annotations reach every container of the pod, so a key may be meant
//! for a neighbour: what is wrong here is noted as a [`Fault`], and the policy
//! says whom it stops.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Fault;
use super::quantity;

/// What all of runu's own annotations begin with.
pub const PREFIX: &str = "runu.dev/";

/// What `runu.dev/mode` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// As the image says.
    Auto,
    Unikernel,
    Container,
}

/// A mode that was asked for, and the key that asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModeChoice {
    pub value: Mode,
    pub key: String,
}

/// The annotations as they concern one container.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Annotations {
    /// `runu.dev/mode.<container>`, or else `runu.dev/mode`.
    pub mode: Option<ModeChoice>,
    /// `runu.dev/kernel`: a path in the container's rootfs.
    pub kernel: Option<PathBuf>,
    /// `runu.dev/initrd`: likewise.
    pub initrd: Option<PathBuf>,
    /// `runu.dev/cmdline`.
    pub cmdline: Option<String>,
    /// `runu.dev/memory`, in bytes.
    pub memory: Option<u64>,
    /// What could not be understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

impl Annotations {
    /// Reads the annotations for the container that the pod calls `container`
    /// (`None` where no pod is known).
    pub fn read<'a>(
        all: impl Iterator<Item = (&'a str, &'a str)>,
        container: Option<&str>,
    ) -> Self {
        let mut found = Self::default();
        let mut pod_mode = None;
        for (key, value) in all.filter(|(key, _)| key.starts_with(PREFIX)) {
            match &key[PREFIX.len()..] {
                "mode" => pod_mode = found.mode_choice(key, value),
                "kernel" => found.kernel = found.path(key, value),
                "initrd" => found.initrd = found.path(key, value),
                "cmdline" => found.cmdline = found.text(key, value),
                "memory" => match quantity::bytes(value) {
                    Ok(bytes) => found.memory = Some(bytes),
                    Err(why) => {
                        found.faults.push(Fault::Memory {
                            key: key.to_owned(),
                            value: cut(value),
                            why,
                        });
                    }
                },
                name => match name.strip_prefix("mode.") {
                    Some(name) if Some(name) == container => {
                        found.mode = found.mode_choice(key, value);
                    }
                    // The choice of another container of this pod.
                    Some(_) => {}
                    None => found
                        .faults
                        .push(Fault::UnknownAnnotation { key: cut(key) }),
                },
            }
        }
        if found.mode.is_none() {
            found.mode = pod_mode;
        }
        found
    }

    /// Whether the pod as a whole says "container" and names a kernel all the same.
    pub fn contradict(&self) -> bool {
        let pod_wide = format!("{PREFIX}mode");
        self.kernel.is_some()
            && self
                .mode
                .as_ref()
                .is_some_and(|m| m.value == Mode::Container && m.key == pod_wide)
    }

    fn mode_choice(&mut self, key: &str, value: &str) -> Option<ModeChoice> {
        let mode = match value {
            "auto" => Mode::Auto,
            "unikernel" => Mode::Unikernel,
            "container" => Mode::Container,
            _ => {
                self.faults.push(Fault::UnknownMode {
                    key: key.to_owned(),
                    value: cut(value),
                });
                return None;
            }
        };
        Some(ModeChoice {
            value: mode,
            key: key.to_owned(),
        })
    }

    fn text(&mut self, key: &str, value: &str) -> Option<String> {
        if value.chars().any(char::is_control) {
            self.faults.push(Fault::ControlCharacter {
                key: key.to_owned(),
            });
            return None;
        }
        Some(value.to_owned())
    }

    fn path(&mut self, key: &str, value: &str) -> Option<PathBuf> {
        if value.is_empty() {
            self.faults.push(Fault::EmptyPath {
                key: key.to_owned(),
            });
        }
        self.text(key, value).map(PathBuf::from)
    }
}

/// The beginning of a text from outside, for an error: one line, not a page.
fn cut(text: &str) -> String {
    const MOST: usize = 64;
    let mut short: String = text
        .chars()
        .filter(|c| !c.is_control())
        .take(MOST)
        .collect();
    if text.chars().count() > MOST {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], container: Option<&str>) -> Annotations {
        Annotations::read(pairs.iter().copied(), container)
    }

    #[test]
    fn a_containers_own_mode_wins_over_the_pods() {
        let pod = [
            ("runu.dev/mode", "unikernel"),
            ("runu.dev/mode.proxy", "container"),
        ];
        let mode = |name| read(&pod, Some(name)).mode.map(|m| m.value);
        assert_eq!(mode("proxy"), Some(Mode::Container));
        assert_eq!(mode("app"), Some(Mode::Unikernel));
        assert_eq!(read(&pod, None).mode.unwrap().key, "runu.dev/mode");
    }

    #[test]
    fn what_is_not_understood_is_noted() {
        let bad = read(&[("runu.dev/mode", "vm"), ("runu.dev/kernal", "/k")], None);
        assert_eq!(bad.mode, None);
        assert_eq!(bad.faults.len(), 2);
        assert!(bad.faults.iter().all(Fault::is_about_the_choice));
        let bad = read(
            &[("runu.dev/memory", "1e30"), ("runu.dev/cmdline", "a\nb")],
            None,
        );
        assert_eq!(bad.faults.len(), 2);
        assert!(!bad.faults.iter().any(Fault::is_about_the_choice));
    }

    #[test]
    fn others_annotations_are_not_looked_at() {
        let none = read(
            &[("runu.devious/mode", "x"), ("a", "b"), ("runu.de", "v")],
            None,
        );
        assert_eq!(none, Annotations::default());
    }
}
