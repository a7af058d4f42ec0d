//! A policy file: typed TOML, in which an unknown key is an error.

use serde::Deserialize;

use super::limits::Limits;
use super::when::When;

/// The only version of the file's format so far.
const VERSION: u32 = 1;

/// One policy file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    version: u32,
    #[serde(default)]
    pub pods: Limits,
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    pub when: When,
    pub then: Then,
    /// The reason that a decision by this rule gives.
    pub because: String,
    /// The file that it is in.
    #[serde(skip)]
    pub file: String,
}

/// What a rule may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    Container,
    Unikernel,
    Deny,
}

/// The field that a file of any version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("policy {file}: {source}")]
    Syntax {
        file: String,
        source: toml::de::Error,
    },
    #[error("policy {file} is empty: write `version = {VERSION}` and rules, or remove it")]
    Empty { file: String },
    #[error("policy {file} is of version {found}, this runu knows version {VERSION}")]
    Version { file: String, found: u32 },
    #[error("policy {file} has two rules of the name {name:?}: each needs its own")]
    SameName { file: String, name: String },
    #[error("policy {file}: {source}")]
    Read {
        file: String,
        source: std::io::Error,
    },
    #[error("policy {file}: {fault}")]
    File { file: String, fault: String },
}

impl PolicyFile {
    /// Reads a policy's text; `file` is its name in errors.
    ///
    /// # Errors
    /// For an unknown key, an unknown value, a name that is there twice, another version.
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyError> {
        let file = || file.to_owned();
        if text.trim().is_empty() {
            return Err(PolicyError::Empty { file: file() });
        }
        let syntax = |source| PolicyError::Syntax {
            file: file(),
            source,
        };
        let mut parsed: Self = match toml::from_str::<Self>(text) {
            Ok(parsed) if parsed.version == VERSION => parsed,
            // A later version may have other keys: which it is, is the thing to tell.
            Ok(Self { version, .. }) => return Err(version_fault(file(), version)),
            Err(source) => {
                return Err(match toml::from_str(text) {
                    Ok(Version { version }) if version != VERSION => version_fault(file(), version),
                    _ => syntax(source),
                });
            }
        };
        parsed.name_rules(&file())?;
        Ok(parsed)
    }

    /// Reads the policy that is compiled in.
    ///
    /// # Errors
    /// As [`PolicyFile::parse`]; a test holds that there is none.
    pub fn parse_json(file: &str, text: &str) -> Result<Self, PolicyError> {
        let mut parsed: Self = serde_json::from_str(text).map_err(|fault| PolicyError::File {
            file: file.to_owned(),
            fault: fault.to_string(),
        })?;
        parsed.name_rules(file)?;
        Ok(parsed)
    }

    /// Tells each rule its file; no two may have one name.
    fn name_rules(&mut self, file: &str) -> Result<(), PolicyError> {
        for at in 0..self.rules.len() {
            let name = self.rules[at].name.clone();
            if self.rules[..at].iter().any(|rule| rule.name == name) {
                let file = file.to_owned();
                return Err(PolicyError::SameName { file, name });
            }
            self.rules[at].file = file.to_owned();
        }
        Ok(())
    }
}

fn version_fault(file: String, found: u32) -> PolicyError {
    PolicyError::Version { file, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(line: &str) -> Result<PolicyFile, PolicyError> {
        let text = format!(
            "version = 1\n[[rules]]\nname = \"x\"\nbecause = \"y\"\nthen = \"deny\"\n{line}\n"
        );
        PolicyFile::parse("site.toml", &text)
    }

    #[test]
    fn conditions_are_one_text_or_several() {
        for when in [
            "{ image = \"docker.io/*\" }",
            "{ image = [\"a\", \"b\"], kind = \"container\", not = { mode = [\"auto\"] } }",
        ] {
            assert!(with(&format!("when = {when}")).is_ok(), "{when}");
        }
    }

    #[test]
    fn an_error_names_the_file_the_line_and_the_key() {
        for (line, words) in [
            ("when = {}\nunless = true", "unless"),
            ("when = { imag = \"x\" }", "imag"),
            ("when = { mode = \"vm\" }", "`auto`"),
            ("when = { image = 1 }", "a text or a list"),
        ] {
            let error = with(line).unwrap_err().to_string();
            for words in [words, "site.toml", "line 6"] {
                // The second of two lines is the seventh.
                let found = error.contains(words) || error.contains("line 7");
                assert!(found, "{line}: no {words} in {error}");
            }
        }
        let error = PolicyFile::parse("f", "version = 2\nnew = 1\n").unwrap_err();
        assert!(error.to_string().contains("version 2"));
        assert!(
            PolicyFile::parse("f", " \n")
                .unwrap_err()
                .to_string()
                .contains("is empty")
        );
    }
}
