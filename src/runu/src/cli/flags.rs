//! runc's flags, verb by verb, as a table.
//!
//! Source: `runc --help` and `runc VERB --help` of 1.1 to 1.5.

/// A flag that takes a value, a whole number, or one that is on or off.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Value,
    Number,
    Switch,
}
pub(super) use Kind::{Number, Switch, Value};

/// One flag: its names without dashes, the long one first.
pub(super) struct Flag(pub &'static [&'static str], pub Kind);

/// One level of the command line: the flags before the verb, or a verb's own.
pub(super) struct Level {
    pub flags: &'static [Flag],
    /// False where the first positional ends the flags (`exec`, `ps`, and the
    /// level before the verb).
    pub interspersed: bool,
}

/// Every level has it.
const HELP: Flag = Flag(&["help", "h"], Switch);

/// The flags before the verb.
pub(super) const GLOBAL: Level = Level {
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
        Flag(&["preserve-fds"], Number),
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
        Flag(&["preserve-fds"], Number),
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
        Flag(&["status-fd"], Number),
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
pub(super) fn level(verb: &str) -> Option<Level> {
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
