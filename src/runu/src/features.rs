//! `features`: the delegate's own, with what runu adds to them (runtime-spec,
//! features.md).

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::exit;
use crate::runc;
use decision::facts::ANNOTATION_PREFIX;

/// Why the features cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The delegate cannot tell its own.
    #[error(transparent)]
    Delegate(#[from] runc::Error),
    /// What the delegate prints is no JSON object.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
}

/// Prints the features as JSON. Where there is no delegate, those of runu alone.
///
/// Nothing is printed on stderr: CRI-O reads both streams as one.
///
/// # Errors
/// When the delegate fails or prints no JSON object.
pub fn print(config: &Config) -> Result<(), Error> {
    let mut features = match runc::find(config) {
        Ok(_) => serde_json::from_slice(&runc::output(config, &["features".into()])?)?,
        Err(_) => alone(),
    };
    add(&mut features);
    exit::say(&format!("{:#}", Value::from(features)));
    Ok(())
}

/// The least that a runtime must say of itself.
fn alone() -> Map<String, Value> {
    let version = oci_spec::runtime::VERSION;
    Map::from_iter([
        ("ociVersionMin".to_owned(), "1.0.0".into()),
        ("ociVersionMax".to_owned(), version.into()),
    ])
}

fn add(features: &mut Map<String, Value>) {
    let version = json!({ "dev.runu.version": env!("CARGO_PKG_VERSION") });
    merge(features, "annotations", version);
    // What may change how a container runs: callers that let strangers set annotations
    // filter these.
    let unsafe_keys = features
        .entry("potentiallyUnsafeConfigAnnotations")
        .or_insert_with(|| json!([]));
    if let Some(keys) = unsafe_keys.as_array_mut() {
        keys.push(ANNOTATION_PREFIX.into());
    }
}

/// Adds the fields of `more` to the object `key`, which may not be there yet.
fn merge(features: &mut Map<String, Value>, key: &str, more: Value) {
    let object = features.entry(key).or_insert_with(|| json!({}));
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
}
