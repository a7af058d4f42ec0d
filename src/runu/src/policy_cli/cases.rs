//! `runu policy test`: cases with the decision that is expected of each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Deserialize;

use super::error::Error;
use super::expect::Expect;
use crate::exit;
use bundle::{Bundle, Config};
use decision::facts::{Facts, GatherOptions, Host, Media};
use decision::policy::{Decision, Policy};
use image::SyntheticImage;
use vmm::BootAbi;

/// One file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    cases: Vec<Case>,
}

/// A bundle on disk, or what would be seen of one; and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// A bundle's directory, from the directory of the file on.
    bundle: Option<PathBuf>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// `linux.resources.memory.limit`, in bytes.
    memory_limit: Option<i64>,
    /// A kernel that is there, at the path that is wished for or else at kraftkit's.
    kernel: Option<BootAbi>,
    /// What the image says of itself.
    media: Option<SyntheticImage>,
    /// The node that it would run on; this one, without a delegate, where none is given.
    host: Option<Host>,
    expect: Expect,
}

/// Runs the cases of every `*.toml` in `directory`; 1 if one came out otherwise.
///
/// # Errors
/// When there are none, or one cannot be read.
pub(super) fn run(dir: &Path, policy: &Policy) -> Result<ExitCode, Error> {
    let (mut passed, mut failed) = (0, 0);
    for file in files(dir)? {
        for case in read(&file)?.cases {
            let decision = decide(&case, &file, policy).map_err(|source| Error::Bundle {
                path: file.clone(),
                case: case.name.clone(),
                source,
            })?;
            match case.expect.diff(&decision) {
                None => passed += 1,
                Some(difference) => {
                    failed += 1;
                    let place = file.display();
                    exit::say(&format!("failed  {}, in {place}\n{difference}", case.name));
                }
            }
        }
    }
    if passed + failed == 0 {
        return Err(Error::NoCases {
            dir: dir.to_owned(),
        });
    }
    exit::say(&format!("{passed} passed, {failed} failed"));
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn read(file: &Path) -> Result<Cases, Error> {
    let text = fs::read_to_string(file).map_err(|source| Error::Read {
        path: file.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|source| Error::Syntax {
        path: file.to_owned(),
        source,
    })
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Read {
        path: dir.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn decide(case: &Case, file: &Path, policy: &Policy) -> Result<Decision, bundle::Error> {
    let mut facts = match &case.bundle {
        Some(bundle) => {
            let path = file.parent().unwrap_or(Path::new(".")).join(bundle);
            let wanted = policy.gather_options();
            Facts::gather(&Bundle::open(&path)?, wanted)?.0
        }
        None => {
            let config = Config::of(case.annotations.clone(), case.memory_limit);
            let everything = GatherOptions {
                annotations: true,
                ..GatherOptions::default()
            };
            let mut facts = Facts::of_config(&config, policy.gather_options().and(everything));
            if let Some(image) = &case.media {
                facts.set_media(Media::Known(Box::new(image.clone().into())));
            }
            if let Some(abi) = case.kernel {
                facts.set_synthetic_kernel(abi);
            }
            facts
        }
    };
    if case.host.is_some() {
        facts.host.clone_from(&case.host);
    }
    Ok(policy.decide(&facts))
}
