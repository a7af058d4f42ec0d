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
    /// `[pods]`: what pods may ask for.
    #[serde(default)]
    pub pods: Limits,
    /// `[[rules]]`, in the order in which they are tried.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A decision names it; unique in its file.
    pub name: String,
    /// When it decides.
    pub when: When,
    /// What it decides.
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
    /// The container is runc's.
    Container,
    /// It is runu's, if it can be planned, and nobody's otherwise.
    Unikernel,
    /// It is nobody's.
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
    /// No TOML, or not of this form.
    #[error("policy {file}: {source}")]
    Syntax {
        /// The file's path.
        file: String,
        /// With the line, and what is wrong in it.
        source: toml::de::Error,
    },
    /// A file without a line.
    #[error("policy {file} is empty: write `version = {VERSION}` and rules, or remove it")]
    Empty {
        /// The file's path.
        file: String,
    },
    /// A file of a later format.
    #[error("policy {file} is of version {found}, this runu knows version {VERSION}")]
    Version {
        /// The file's path.
        file: String,
        /// Its version.
        found: u32,
    },
    /// Two rules that a decision could not tell apart.
    #[error("policy {file} has two rules of the name {name:?}: each needs its own")]
    SameName {
        /// The file's path.
        file: String,
        /// The rules' name.
        name: String,
    },
    /// The system does not let it be read.
    #[error("policy {file}: {source}")]
    Read {
        /// The path of the file, or of the directory.
        file: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A directory, a FIFO and so on.
    #[error("policy {file}: it is not a regular file")]
    NotAFile {
        /// The file's path.
        file: String,
    },
    /// More than is read of one.
    #[error("policy {file}: it has more than {max} bytes")]
    TooLarge {
        /// The file's path.
        file: String,
        /// Bytes.
        max: u64,
    },
    /// The policy that is compiled in cannot be read: a fault of the build.
    #[error("policy {file}: {source}")]
    Default {
        /// Its name.
        file: String,
        /// What is wrong in it.
        source: serde_json::Error,
    },
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
        let mut parsed: Self =
            serde_json::from_str(text).map_err(|source| PolicyError::Default {
                file: file.to_owned(),
                source,
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
