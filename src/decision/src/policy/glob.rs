//! What a condition compares with: one value or several, of which one must fit.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{SeqAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use wildmatch::WildMatch;

/// `"a"` or `["a", "b"]`.
#[derive(Debug, PartialEq)]
pub(super) struct OneOf<T>(Vec<T>);

/// Patterns: `*` is any text, slashes too, `?` is one character.
pub(super) type Globs = OneOf<Glob>;

/// One pattern.
#[derive(Debug, PartialEq)]
pub(super) struct Glob(WildMatch);

impl<T> OneOf<T> {
    /// Whether one of them is `test`'s.
    fn any(&self, test: impl Fn(&T) -> bool) -> bool {
        self.0.iter().any(test)
    }
}

impl<T: PartialEq> OneOf<T> {
    pub(super) fn has(&self, value: &T) -> bool {
        self.any(|one| one == value)
    }
}

impl Globs {
    /// Whether one of the patterns matches the whole text.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.any(|glob| glob.0.matches(text))
    }
}

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let patterns: Vec<_> = self.0.iter().map(|glob| glob.0.to_string()).collect();
        f.write_str(&patterns.join(", "))
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|pattern| Self(WildMatch::new(&pattern)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMore(PhantomData))
    }
}

/// Not serde's `untagged`, which forgets what was wrong with a value.
struct OneOrMore<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
    type Value = OneOf<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(StrDeserializer::new(text)).map(|one| OneOf(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOf)
    }
}

/// Each of these is true where there is no condition, and false where there is nothing to
/// compare with.
pub(super) fn is(condition: &Option<bool>, found: Option<bool>) -> bool {
    condition.is_none_or(|condition| Some(condition) == found)
}

pub(super) fn one_of<T: PartialEq>(condition: &Option<OneOf<T>>, found: Option<&T>) -> bool {
    let fits = |condition: &OneOf<T>| found.is_some_and(|found| condition.has(found));
    condition.as_ref().is_none_or(fits)
}

pub(super) fn fits(condition: &Option<Globs>, found: Option<&str>) -> bool {
    let fits = |globs: &Globs| found.is_some_and(|text| globs.matches(text));
    condition.as_ref().is_none_or(fits)
}

/// One of several fits.
pub(super) fn any_fits(condition: &Option<Globs>, found: &[String]) -> bool {
    let fits = |globs: &Globs| found.iter().any(|text| globs.matches(text));
    condition.as_ref().is_none_or(fits)
}

/// Each key that is named is there, with a value that fits.
pub(super) fn all_fit(
    condition: &Option<BTreeMap<String, Globs>>,
    found: &BTreeMap<String, String>,
) -> bool {
    condition
        .iter()
        .flatten()
        .all(|(key, globs)| found.get(key).is_some_and(|value| globs.matches(value)))
}
