//! The keys of config.json that a decision reads, in whatever case they are written.
//!
//! Go's package `encoding/json` matches keys without regard to case ("Unmarshal"), so that
//! runc would read `Annotations`, which the [view](crate::Config) here does not see. Nobody
//! writes that but to be read so: it is refused.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// A key, and what is read below it.
struct Key(&'static str, &'static [Key]);

/// What [`Config`](crate::Config) reads.
const READ: &[Key] = &[
    Key("ociVersion", &[]),
    Key("annotations", &[]),
    Key("root", &[Key("path", &[]), Key("readonly", &[])]),
    Key("process", &[Key("args", &[]), Key("terminal", &[])]),
    Key(
        "linux",
        &[Key(
            "resources",
            &[
                Key("memory", &[Key("limit", &[])]),
                Key("cpu", &[Key("quota", &[]), Key("period", &[])]),
            ],
        )],
    ),
    // Not `hwConfig`: both its spellings are in use.
    Key(
        "vm",
        &[
            Key(
                "kernel",
                &[Key("path", &[]), Key("parameters", &[]), Key("initrd", &[])],
            ),
            Key("image", &[Key("path", &[])]),
        ],
    ),
];

/// Looks for a key that differs from one of those in case alone.
///
/// # Errors
/// When there is one, with its line and column; and for what is no JSON.
pub(crate) fn check(text: &[u8]) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Keys(READ).deserialize(&mut deserializer)
}

/// One object of config.json.
struct Keys(&'static [Key]);

impl<'de> DeserializeSeed<'de> for Keys {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            [] => deserializer.deserialize_ignored_any(IgnoredAny).map(drop),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Keys {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    /// `null`.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(found) = map.next_key::<String>()? {
            // Most are spelt right: no need to fold anything for them.
            let exact = self.0.iter().find(|key| key.0 == found);
            let key = exact.or_else(|| {
                let found = folded(&found);
                self.0.iter().find(|key| folded(key.0) == found)
            });
            match key {
                Some(Key(name, _)) if found != *name => {
                    let message = format!("key {found:?}: write {name:?}");
                    return Err(Error::custom(message));
                }
                Some(Key(_, below)) => map.next_value_seed(Keys(below))?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A key as Go compares it: `ſ` is an s and the Kelvin sign a k.
fn folded(key: &str) -> String {
    key.to_lowercase().to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_cases_of_what_is_read_are_told() {
        for (text, message) in [
            (
                r#"{"Annotations":{}}"#,
                "key \"Annotations\": write \"annotations\"",
            ),
            (r#"{"annotationſ":{}}"#, "write \"annotations\""),
            (r#"{"root":{"Path":"/"}}"#, "write \"path\""),
            (
                r#"{"linux":{"resources":{"memory":{"LIMIT":1}}}}"#,
                "write \"limit\"",
            ),
        ] {
            let error = check(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        for text in [
            r#"{"annotations":{"Root":"x","root":"y"},"root":{"path":"r"},"process":null}"#,
            r#"{"Hostname":"of no interest","linux":{"Namespaces":[]}}"#,
        ] {
            check(text.as_bytes()).unwrap();
        }
    }
}
