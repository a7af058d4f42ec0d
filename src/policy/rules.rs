//! The policy file: typed TOML, in which an unknown key is an error.

use serde::Deserialize;

use crate::facts::{Facts, KernelSource, Kind, Mode};

/// The policy that is compiled in.
const DEFAULT: &str = include_str!("../../policy/default.toml");

/// The only version of the file's format so far.
const VERSION: u32 = 1;

/// Rules in the order in which they are tried.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    version: u32,
    rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    when: When,
    pub then: Then,
    /// The reason that a decision by this rule gives.
    pub because: String,
}

/// What a rule may decide.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    Container,
    Unikernel,
    Deny,
}

/// Conditions; those that are given must all hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    sandbox: Option<bool>,
    mode: Option<Mode>,
    contradiction: Option<bool>,
    kernel: Option<KernelSource>,
    sign: Option<bool>,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("policy {file}: {source}")]
    Syntax {
        file: String,
        source: toml::de::Error,
    },
    #[error("policy {file} is of version {found}, this runu knows version {VERSION}")]
    Version { file: String, found: u32 },
}

impl Policy {
    /// The policy that is compiled in.
    ///
    /// # Errors
    /// As [`Policy::parse`]; a test holds that there is none.
    pub fn default_rules() -> Result<Self, PolicyError> {
        Self::parse("default.toml", DEFAULT)
    }

    /// Reads a policy's text; `file` is its name in errors.
    ///
    /// # Errors
    /// For an unknown key, an unknown value, or another version.
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyError> {
        let policy: Self = toml::from_str(text).map_err(|source| PolicyError::Syntax {
            file: file.to_owned(),
            source,
        })?;
        if policy.version != VERSION {
            return Err(PolicyError::Version {
                file: file.to_owned(),
                found: policy.version,
            });
        }
        Ok(policy)
    }

    /// The first rule whose conditions hold.
    pub fn first_match(&self, facts: &Facts) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.when.holds(facts))
    }
}

impl When {
    fn holds(&self, facts: &Facts) -> bool {
        let is = |wanted: Option<bool>, found: bool| wanted.is_none_or(|w| w == found);
        let mode = facts.annotations.mode.as_ref().map(|m| m.value);
        let kernel = facts.kernel.as_ref().map(|k| k.source);
        is(self.sandbox, facts.container.kind == Kind::Sandbox)
            && self.mode.is_none_or(|wanted| mode == Some(wanted))
            && is(self.contradiction, facts.annotations.contradict())
            && self.kernel.is_none_or(|wanted| kernel == Some(wanted))
            && is(self.sign, facts.has_sign())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_policy() {
        assert!(!Policy::default_rules().unwrap().rules.is_empty());
    }

    #[test]
    fn unknown_keys_values_and_versions_are_errors() {
        let with = |line: &str| {
            let text = format!(
                "version = 1\n[[rules]]\nname = \"x\"\nwhen = {{}}\nbecause = \"y\"\n{line}\n"
            );
            Policy::parse("site.toml", &text)
        };
        assert!(with("then = \"deny\"").is_ok());
        let unknown_key = with("then = \"deny\"\nunless = true")
            .unwrap_err()
            .to_string();
        assert!(
            unknown_key.contains("site.toml") && unknown_key.contains("unless"),
            "{unknown_key}"
        );
        assert!(with("then = \"vm\"").is_err());
        let text = "version = 2\nrules = []\n";
        assert!(
            Policy::parse("f", text)
                .unwrap_err()
                .to_string()
                .contains("version 2")
        );
    }
}
