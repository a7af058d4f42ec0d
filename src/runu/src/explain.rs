//! `runu explain`: how a bundle would run, for people and for programs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::cli::Globals;
use crate::cli::own::{self, ReportFormat};
use crate::config::Config;
use crate::dispatch::{self, Evaluation, ImageLookup};
use crate::exit;
use crate::lifecycle::Store;
use crate::runc;
use bundle::Bundle;
use decision::explanation::Explanation;
use decision::facts::{self, GatherOptions};
use image;

/// `runu explain`: prints how a bundle would run, or how a container was decided about;
/// starts nothing.
///
/// Gives 0 for a container and a unikernel, 1 for a refusal.
///
/// # Errors
/// Where there is nothing to look at.
pub fn explain(globals: &Globals, args: &own::Explain) -> Result<ExitCode> {
    let explanation = match (&args.container, &args.layout) {
        (Some(id), _) => of_container(globals, id)?,
        (None, Some(layout)) => of_layout(globals, layout)?,
        (None, None) => of_path(globals, &args.bundle)?,
    };
    match args.format {
        ReportFormat::Json => exit::say(&format!("{:#}", explanation.json)),
        ReportFormat::Text => exit::say(explanation.text.trim_end()),
    }
    Ok(match explanation.json["decision"] == "deny" {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// How it would be decided about a bundle now; `-` is a config.json on stdin.
fn of_path(globals: &Globals, path: &Path) -> Result<Explanation> {
    match path == Path::new("-") {
        true => of_bundle(globals, &Bundle::of_stdin()?),
        false => of_bundle(globals, &Bundle::open(path)?),
    }
}

/// How it would be decided about a container of an image: its files are unpacked for that,
/// into a directory that goes again.
fn of_layout(globals: &Globals, layout: &Path) -> Result<Explanation> {
    let context = || layout.display().to_string();
    let layout = layout.canonicalize().with_context(context)?;
    let host = image::Host::here(facts::has_kvm())?;
    let image = image::from_layout(&layout, &host).with_context(context)?;
    let image = image.with_context(|| format!("{} is no OCI layout", layout.display()))?;
    let rootfs = tempfile::tempdir()?;
    image::unpack(&layout, &image, rootfs.path()).with_context(context)?;
    let config = json!({
        "root": { "path": rootfs.path() },
        "process": { "args": image.args },
    });
    of_bundle(
        globals,
        &Bundle::of_text(layout, config.to_string().into_bytes())?,
    )
}

fn of_bundle(globals: &Globals, bundle: &Bundle) -> Result<Explanation> {
    let everything = GatherOptions {
        digest: true,
        host: true,
        annotations: false,
    };
    let Evaluation {
        facts, decision, ..
    } = dispatch::evaluate(
        &Config::load()?,
        &ImageLookup::of(globals),
        bundle,
        everything,
    )?;
    Ok(Explanation::of(&facts, &decision)?)
}

/// How it was decided about a unikernel when it was made. Of runc's containers nothing is
/// kept: their bundle is looked at again.
fn of_container(globals: &Globals, id: &str) -> Result<Explanation> {
    let store = Store::of(globals.root.as_deref());
    if store.holds(id) {
        return Ok(serde_json::from_str(&store.entry(id).explanation()?)?);
    }
    let bundle = runcs_bundle(globals, id)?;
    exit::warn(&format!(
        "container {id} is runc's: this is how it would be decided about now, by {}",
        bundle.display()
    ));
    of_path(globals, &bundle)
}

/// The bundle of a container that runc made.
fn runcs_bundle(globals: &Globals, id: &str) -> Result<PathBuf> {
    let mut args = Vec::new();
    if let Some(root) = &globals.root {
        args.extend(["--root".into(), root.into()]);
    }
    args.extend(["state".into(), id.into()]);
    let state: Value = serde_json::from_slice(&runc::output(&Config::load_or_default(), &args)?)?;
    let bundle = state["bundle"].as_str().map(PathBuf::from);
    bundle.with_context(|| anyhow!("runc's state of container {id} names no bundle"))
}
