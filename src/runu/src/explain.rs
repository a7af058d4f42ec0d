//! `runu explain`: how a bundle would run, for people and for programs.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::Globals;
use crate::cli::own::{self, ReportFormat};
use crate::config::{Config, ConfigError};
use crate::dispatch::{self, Evaluation, ImageLookup};
use crate::exit;
use crate::lifecycle::{Store, StoreError};
use crate::runc;
use bundle::Bundle;
use decision::explanation::Explanation;
use decision::facts::{self, GatherOptions};
use image::{self, ImageError};

/// Why there is nothing to explain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node's configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The bundle cannot be read.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    /// There is no decision about it.
    #[error(transparent)]
    Dispatch(#[from] dispatch::Error),
    /// A layout's path leads nowhere.
    #[error("{}", path.display())]
    Path { path: PathBuf, source: io::Error },
    /// A layout cannot be read, or its files cannot be unpacked.
    #[error("{}", path.display())]
    Layout { path: PathBuf, source: ImageError },
    /// A directory without an image.
    #[error("{} is no OCI layout", path.display())]
    NoLayout { path: PathBuf },
    /// This host does not say what it is.
    #[error(transparent)]
    Host(ImageError),
    /// There is no directory for an image's files.
    #[error("a directory for the image's files cannot be made")]
    Rootfs(#[source] io::Error),
    /// What was kept of a container's decision cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// runc does not say what it knows of a container.
    #[error(transparent)]
    Runc(#[from] runc::Error),
    /// What runc says of a container leads to no bundle.
    #[error("runc's state of container {id} names no bundle")]
    NoBundle { id: String },
    /// What is explained, kept or answered is no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

type Result<T> = std::result::Result<T, Error>;

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
    let path = layout.to_owned();
    let layout = match layout.canonicalize() {
        Ok(layout) => layout,
        Err(source) => return Err(Error::Path { path, source }),
    };
    let unreadable = |source| Error::Layout {
        path: path.clone(),
        source,
    };
    let host = image::Host::here(facts::has_kvm()).map_err(Error::Host)?;
    let image = image::from_layout(&layout, &host).map_err(unreadable)?;
    let Some(image) = image else {
        return Err(Error::NoLayout { path: layout });
    };
    let rootfs = tempfile::tempdir().map_err(Error::Rootfs)?;
    image::unpack(&layout, &image, rootfs.path()).map_err(unreadable)?;
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
    bundle.ok_or_else(|| Error::NoBundle { id: id.to_owned() })
}
