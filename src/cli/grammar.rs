//! runc's command line as a table, and Go's rules for reading one.
//!
//! Only what is needed to find the verb, the container's ID and the few flags
//! that runu acts upon: the argv itself is never rebuilt, so a flag that this
//! table does not know still reaches runc as it was written.
//!
//! Source: `runc --help` and `runc VERB --help` of 1.1 to 1.5; Go's package
//! `flag`, "Command line flag syntax".

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::fault::Fault;

/// A flag that takes a value, or one that is on or off.
#[derive(Clone, Copy)]
enum Kind {
    Value,
    Switch,
}
use Kind::{Switch, Value};

/// One flag: its names without dashes, the long one first.
struct Flag(&'static [&'static str], Kind);

/// One level of the command line: the flags before the verb, or a verb's own.
pub struct Level {
    flags: &'static [Flag],
    /// False where the first positional ends the flags (`exec`, `ps`, and the
    /// level before the verb).
    interspersed: bool,
}

/// Every level has it.
const HELP: Flag = Flag(&["help", "h"], Switch);

/// The flags before the verb.
pub const GLOBAL: Level = Level {
    flags: &[
        Flag(&["debug"], Switch),
        Flag(&["log"], Value),
        Flag(&["log-format"], Value),
        Flag(&["root"], Value),
        Flag(&["criu"], Value),
        Flag(&["systemd-cgroup"], Switch),
        Flag(&["rootless"], Value),
        HELP,
        Flag(&["version", "v"], Switch),
    ],
    interspersed: false,
};

const CREATE: Level = Level {
    flags: &[
        Flag(&["bundle", "b"], Value),
        Flag(&["console-socket"], Value),
        Flag(&["pidfd-socket"], Value),
        Flag(&["pid-file"], Value),
        Flag(&["no-pivot"], Switch),
        Flag(&["no-new-keyring"], Switch),
        Flag(&["preserve-fds"], Value),
        // `run` has these besides.
        Flag(&["detach", "d"], Switch),
        Flag(&["keep"], Switch),
        Flag(&["no-subreaper"], Switch),
        HELP,
    ],
    interspersed: true,
};

const RESTORE: Level = Level {
    flags: &[
        Flag(&["bundle", "b"], Value),
        Flag(&["console-socket"], Value),
        Flag(&["pid-file"], Value),
        Flag(&["no-pivot"], Switch),
        Flag(&["detach", "d"], Switch),
        Flag(&["no-subreaper"], Switch),
        Flag(&["image-path"], Value),
        Flag(&["work-path"], Value),
        Flag(&["tcp-established"], Switch),
        Flag(&["ext-unix-sk"], Switch),
        Flag(&["shell-job"], Switch),
        Flag(&["file-locks"], Switch),
        Flag(&["manage-cgroups-mode"], Value),
        Flag(&["empty-ns"], Value),
        Flag(&["auto-dedup"], Switch),
        Flag(&["lazy-pages"], Switch),
        Flag(&["lsm-profile"], Value),
        Flag(&["lsm-mount-context"], Value),
        HELP,
    ],
    interspersed: true,
};

const EXEC: Level = Level {
    flags: &[
        Flag(&["console-socket"], Value),
        Flag(&["pidfd-socket"], Value),
        Flag(&["cwd"], Value),
        Flag(&["env", "e"], Value),
        Flag(&["tty", "t"], Switch),
        Flag(&["user", "u"], Value),
        Flag(&["additional-gids", "g"], Value),
        Flag(&["process", "p"], Value),
        Flag(&["detach", "d"], Switch),
        Flag(&["pid-file"], Value),
        Flag(&["process-label"], Value),
        Flag(&["apparmor"], Value),
        Flag(&["no-new-privs"], Switch),
        Flag(&["cap", "c"], Value),
        Flag(&["preserve-fds"], Value),
        Flag(&["cgroup"], Value),
        Flag(&["ignore-paused"], Switch),
        HELP,
    ],
    interspersed: false,
};

/// Verbs whose flags have no meaning for runu, except that a value must not be
/// taken for the ID.
const VALUED: Level = Level {
    flags: &[
        Flag(&["all", "a"], Switch),
        Flag(&["force", "f"], Switch),
        Flag(&["quiet", "q"], Switch),
        Flag(&["format"], Value),
        Flag(&["stats"], Switch),
        Flag(&["interval"], Value),
        Flag(&["resources", "r"], Value),
        Flag(&["image-path"], Value),
        Flag(&["work-path"], Value),
        Flag(&["parent-path"], Value),
        Flag(&["page-server"], Value),
        Flag(&["manage-cgroups-mode"], Value),
        Flag(&["empty-ns"], Value),
        Flag(&["status-fd"], Value),
        Flag(&["blkio-weight"], Value),
        Flag(&["cpu-period"], Value),
        Flag(&["cpu-quota"], Value),
        Flag(&["cpu-burst"], Value),
        Flag(&["cpu-share"], Value),
        Flag(&["cpu-rt-period"], Value),
        Flag(&["cpu-rt-runtime"], Value),
        Flag(&["cpuset-cpus"], Value),
        Flag(&["cpuset-mems"], Value),
        Flag(&["cpu-idle"], Value),
        Flag(&["kernel-memory"], Value),
        Flag(&["kernel-memory-tcp"], Value),
        Flag(&["memory"], Value),
        Flag(&["memory-reservation"], Value),
        Flag(&["memory-swap"], Value),
        Flag(&["pids-limit"], Value),
        Flag(&["l3-cache-schema"], Value),
        Flag(&["mem-bw-schema"], Value),
        HELP,
    ],
    interspersed: true,
};

/// `ps` and `list` spell `-f` as a format, and `ps` hands on what follows the ID.
const PS: Level = Level {
    flags: &[Flag(&["format", "f"], Value), HELP],
    interspersed: false,
};
const LIST: Level = Level {
    flags: &[
        Flag(&["format", "f"], Value),
        Flag(&["quiet", "q"], Switch),
        HELP,
    ],
    interspersed: true,
};

/// The flags of `verb`, or `None` where it is no verb of runc's that names a
/// container (or lists them).
pub fn level(verb: &str) -> Option<Level> {
    Some(match verb {
        "create" | "run" => CREATE,
        "restore" => RESTORE,
        "exec" => EXEC,
        "ps" => PS,
        "list" => LIST,
        "start" | "state" | "kill" | "delete" | "pause" | "resume" | "events" | "update"
        | "checkpoint" => VALUED,
        _ => return None,
    })
}

/// What one level of the command line said.
#[derive(Debug, Default, PartialEq)]
pub struct Parsed {
    flags: Vec<(&'static str, OsString)>,
    /// The first thing that is wrong.
    pub fault: Option<Fault>,
    pub positionals: Vec<OsString>,
}

impl Parsed {
    /// The last value given for the flag with this long name.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.flags
            .iter()
            .rev()
            .find(|(flag, _)| *flag == name)
            .map(|(_, v)| v.as_os_str())
    }

    /// Every flag that was given, and its value.
    pub fn settings(&self) -> Vec<(String, String)> {
        let text = |value: &OsString| value.to_string_lossy().into_owned();
        self.flags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), text(value)))
            .collect()
    }

    /// Whether a switch is on.
    pub fn switch(&self, name: &str) -> bool {
        self.value(name).and_then(boolean) == Some(true)
    }

    fn note(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}

/// Reads `args` by the rules of `level`.
///
/// Where the level is not interspersed, everything from the first positional on
/// is a positional. Allocates only for what it returns.
pub fn parse(level: &Level, args: &[OsString]) -> Parsed {
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
            parsed.note(Fault::UnknownFlag(lossy(name)));
            continue;
        };
        let value = match (inline, kind) {
            (Some(value), _) => OsString::from_vec(value.to_vec()),
            (None, Switch) => "true".into(),
            (None, Value) => match rest.next() {
                Some(value) => value.clone(),
                None => {
                    parsed.note(Fault::NoValue(lossy(name)));
                    break;
                }
            },
        };
        if matches!(kind, Switch) && boolean(&value).is_none() {
            parsed.note(Fault::NotBoolean {
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
        assert_eq!(parsed.fault, Some(Fault::UnknownFlag("new-flag".into())));
        assert_eq!(parsed.positionals, words("id"));
        assert!(delete("-f=T id").switch("force"));

        let parsed = delete("-force=maybe id");
        assert!(!parsed.switch("force"));
        let told = "invalid boolean value \"maybe\" for -force: parse error";
        assert_eq!(parsed.fault.unwrap().to_string(), told);
        let parsed = parse(&GLOBAL, &words("--root"));
        let told = "flag needs an argument: -root";
        assert_eq!(parsed.fault.unwrap().to_string(), told);
    }
}
