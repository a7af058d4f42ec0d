//! Go's rules for reading a command line, over the table of runc's flags.
//!
//! Only what is needed to find the verb, the container's ID and the few flags
//! that runu acts upon: the argv itself is never rebuilt, so a flag that the
//! table does not know still reaches runc as it was written.
//!
//! Source: Go's package `flag`, "Command line flag syntax".

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::flags::{Flag, Level, Number, Switch, Value};
pub(super) use super::flags::{GLOBAL, level};
use super::usage_error::UsageError;

/// What one level of the command line said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parsed {
    flags: Vec<(&'static str, OsString)>,
    /// The first thing that is wrong.
    pub error: Option<UsageError>,
    pub positionals: Vec<OsString>,
}

impl Parsed {
    /// The last value given for the flag with this long name.
    pub(super) fn value(&self, name: &str) -> Option<&OsStr> {
        self.flags
            .iter()
            .rev()
            .find(|(flag, _)| *flag == name)
            .map(|(_, v)| v.as_os_str())
    }

    /// Every flag that was given, and its value.
    pub(super) fn settings(&self) -> Vec<(String, String)> {
        let text = |value: &OsString| value.to_string_lossy().into_owned();
        self.flags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), text(value)))
            .collect()
    }

    /// Whether a switch is on.
    pub(super) fn switch(&self, name: &str) -> bool {
        self.value(name).and_then(boolean) == Some(true)
    }

    fn note(&mut self, error: UsageError) {
        self.error.get_or_insert(error);
    }
}

/// Reads `args` by the rules of `level`.
///
/// Where the level is not interspersed, everything from the first positional on
/// is a positional. Allocates only for what it returns.
pub(super) fn parse(level: &Level, args: &[OsString]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let bytes = arg.as_bytes();
        if bytes == b"--" {
            parsed.positionals.extend(rest.cloned());
            break;
        }
        if !bytes.starts_with(b"-") || bytes == b"-" {
            parsed.positionals.push(arg.clone());
            if level.interspersed {
                continue;
            }
            parsed.positionals.extend(rest.cloned());
            break;
        }
        let (name, inline) = split_flag(bytes);
        let Some(Flag(names, kind)) = level
            .flags
            .iter()
            .find(|flag| flag.0.iter().any(|n| n.as_bytes() == name))
        else {
            parsed.note(UsageError::UnknownFlag(lossy(name)));
            continue;
        };
        let value = match (inline, kind) {
            (Some(value), _) => OsString::from_vec(value.to_vec()),
            (None, Switch) => "true".into(),
            (None, Value | Number) => match rest.next() {
                Some(value) => value.clone(),
                None => {
                    parsed.note(UsageError::NoValue(lossy(name)));
                    break;
                }
            },
        };
        if matches!(kind, Switch) && boolean(&value).is_none() {
            parsed.note(UsageError::NotBoolean {
                flag: lossy(name),
                value: lossy(value.as_bytes()),
            });
        }
        if matches!(kind, Number) && !is_number(&value) {
            parsed.note(UsageError::NotNumber {
                flag: lossy(name),
                value: lossy(value.as_bytes()),
            });
        }
        parsed.flags.push((names[0], value));
    }
    parsed
}

/// What Go's `strconv.ParseBool` makes of a text.
fn boolean(text: &OsStr) -> Option<bool> {
    match text.as_bytes() {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

/// Whether Go's `strconv.ParseInt` takes a text with base 0 for a number.
fn is_number(text: &OsStr) -> bool {
    let text = text.to_string_lossy().to_lowercase();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x', ..] => (&digits[2..], 16),
        [b'0', b'b', ..] => (&digits[2..], 2),
        [b'0', b'o', ..] => (&digits[2..], 8),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    !digits.starts_with(['+', '-']) && i64::from_str_radix(digits, radix).is_ok()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `--name=value` or `-name` → the name without dashes, and the value if any.
fn split_flag(arg: &[u8]) -> (&[u8], Option<&[u8]>) {
    let name = arg
        .strip_prefix(b"--")
        .or(arg.strip_prefix(b"-"))
        .unwrap_or(arg);
    match name.iter().position(|&b| b == b'=') {
        Some(at) => (&name[..at], Some(&name[at + 1..])),
        None => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn go_flag_forms() {
        let create = level("create").unwrap();
        for line in [
            "--bundle /b --pid-file p id",
            "-bundle=/b -pid-file=p id",
            "id -b /b --pid-file=p",
        ] {
            let parsed = parse(&create, &words(line));
            assert_eq!(parsed.value("bundle"), Some(OsStr::new("/b")), "{line}");
            assert_eq!(parsed.value("pid-file"), Some(OsStr::new("p")), "{line}");
            assert_eq!(parsed.positionals, words("id"), "{line}");
        }
    }

    #[test]
    fn a_value_may_look_like_a_verb() {
        let parsed = parse(&GLOBAL, &words("--root create --log=run state create"));
        assert_eq!(parsed.value("root"), Some(OsStr::new("create")));
        assert_eq!(parsed.positionals, words("state create"));
    }

    #[test]
    fn exec_keeps_the_commands_own_flags() {
        let parsed = parse(&level("exec").unwrap(), &words("-d id sh -c true"));
        assert!(parsed.switch("detach"));
        assert_eq!(parsed.positionals, words("id sh -c true"));
    }

    #[test]
    fn switches_and_faults() {
        let delete = |line| parse(&level("delete").unwrap(), &words(line));
        let parsed = delete("--force=false --new-flag id --newer");
        assert!(!parsed.switch("force"));
        assert_eq!(
            parsed.error,
            Some(UsageError::UnknownFlag("new-flag".into()))
        );
        assert_eq!(parsed.positionals, words("id"));
        assert!(delete("-f=T id").switch("force"));

        let parsed = delete("-force=maybe id");
        assert!(!parsed.switch("force"));
        let told = "invalid boolean value \"maybe\" for -force: parse error";
        assert_eq!(parsed.error.unwrap().to_string(), told);
        let create = |line: &str| parse(&level("create").unwrap(), &words(line)).error;
        for number in ["2", "-1", "+0x1f", "010", "0o7", "0b1", "0"] {
            assert_eq!(create(&format!("--preserve-fds {number} id")), None);
        }
        for text in ["x", "", "1.5", "09", "0x", "--1", "9223372036854775808"] {
            let told = format!("invalid value {text:?} for flag -preserve-fds: parse error");
            let error = create(&format!("--preserve-fds={text} id")).unwrap();
            assert_eq!(error.to_string(), told);
        }
        let parsed = parse(&GLOBAL, &words("--root"));
        let told = "flag needs an argument: -root";
        assert_eq!(parsed.error.unwrap().to_string(), told);
    }
}
