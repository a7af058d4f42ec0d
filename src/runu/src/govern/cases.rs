//! `runu policy test`: cases with the decision that is expected of each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::diff;
use crate::exit;
use bundle::{Bundle, Config};
use decision::facts::{Facts, Host, Media, Wanted};
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
pub(super) struct Case {
    pub name: String,
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
    pub expect: Expect,
}

/// What is expected; what is not named may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// `container`, `unikernel` or `deny`.
    pub decision: String,
    pub rule: Option<String>,
    /// A part of the reason.
    pub reason: Option<String>,
}

/// Runs the cases of every `*.toml` in `directory`; 1 if one came out otherwise.
///
/// # Errors
/// When there are none, or one cannot be read.
pub(super) fn run(dir: &Path, policy: &Policy) -> Result<ExitCode> {
    let (mut passed, mut failed) = (0, 0);
    for file in files(dir)? {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let cases: Cases = toml::from_str(&text).with_context(|| file.display().to_string())?;
        for case in cases.cases {
            let decision = decide(&case, &file, policy)
                .with_context(|| format!("{}: case {:?}", file.display(), case.name))?;
            match diff::of(&case.expect, &decision) {
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
        bail!(
            "{}: no cases: put them into *.toml files there",
            dir.display()
        );
    }
    exit::say(&format!("{passed} passed, {failed} failed"));
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let context = || dir.display().to_string();
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(context)? {
        let path = entry.with_context(context)?.path();
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

fn decide(case: &Case, file: &Path, policy: &Policy) -> Result<Decision> {
    let mut facts = match &case.bundle {
        Some(bundle) => {
            let path = file.parent().unwrap_or(Path::new(".")).join(bundle);
            let wanted = policy.wanted();
            Facts::gather(&Bundle::open(&path)?, wanted)?.0
        }
        None => {
            let config = Config::of(case.annotations.clone(), case.memory_limit);
            let everything = Wanted {
                annotations: true,
                ..Wanted::default()
            };
            let mut facts = Facts::of_config(&config, policy.wanted().and(everything));
            if let Some(image) = &case.media {
                facts.suppose_media(Media::Known(Box::new(image.clone().into())));
            }
            if let Some(abi) = case.kernel {
                facts.suppose_kernel(abi);
            }
            facts
        }
    };
    if case.host.is_some() {
        facts.host.clone_from(&case.host);
    }
    Ok(policy.decide(&facts))
}
