use super::*;

fn parse(line: &str) -> Invocation {
    Invocation::parse(line.split(' ').map(OsString::from).collect())
}

#[test]
fn the_verb_is_found_past_a_bundle_named_create() {
    let call = parse("runu --root=/r --log /l --log-format json create --bundle create run");
    assert_eq!(call.globals.root.as_deref(), Some(Path::new("/r")));
    assert!(call.globals.log_json);
    let Command::Create(create) = call.command else {
        panic!("{call:?}")
    };
    assert_eq!(create.id, "run");
    assert_eq!(create.bundle, Path::new("create"));
    assert!(create.run.is_none());
}

#[test]
fn kill_by_number_and_default() {
    let Command::OnContainer { id, verb } = parse("runu kill --all c 9").command else {
        panic!()
    };
    assert_eq!(id, "c");
    assert!(matches!(verb, Verb::Kill { signal, all: true } if signal == "9"));
    let Command::OnContainer { verb, .. } = parse("runu kill c").command else {
        panic!()
    };
    assert!(matches!(verb, Verb::Kill { signal, all: false } if signal == "SIGTERM"));
}

#[test]
fn a_flag_that_may_name_another_configuration_is_not_passed_on() {
    for line in [
        "runu create -f x c",
        "runu create --config=x c",
        "runu run --bundle b -z c",
    ] {
        let command = parse(line).command;
        assert!(
            matches!(command, Command::UnknownFlag { .. }),
            "{line}: {command:?}"
        );
    }
}

#[test]
fn runcs_name_is_the_last_part_of_the_path() {
    for (line, is) in [
        ("runc", true),
        ("/usr/bin/runc -v", true),
        ("runu runc", false),
        ("/runc/runu", false),
    ] {
        assert_eq!(parse(line).is_called_runc(), is, "{line}");
    }
    assert!(!Invocation::parse(Vec::new()).is_called_runc());
}

#[test]
fn what_is_not_understood_is_runcs() {
    for line in [
        "runu spec",
        "runu features x",
        "runu create",
        "runu frobnicate c",
        "runu create -b b c -h",
        "runu kill --help c",
        "runu list -h",
        "runu help create",
    ] {
        assert!(matches!(parse(line).command, Command::Delegate), "{line}");
    }
    // Their own flags begin after the ID.
    for line in ["runu exec c ls -h", "runu ps c -h"] {
        let command = parse(line).command;
        assert!(matches!(command, Command::OnContainer { .. }), "{line}");
    }
}

#[test]
fn what_runc_would_refuse_is_not_done_to_a_unikernel() {
    for (line, told) in [
        (
            "runu delete --force=maybe c",
            "invalid boolean value \"maybe\" for -force: parse error",
        ),
        (
            "runu start --frob c",
            "flag provided but not defined: -frob",
        ),
        (
            "runu start c d",
            "runu: \"start\" requires exactly 1 argument(s)",
        ),
        (
            "runu kill c 9 9",
            "runu: \"kill\" requires a maximum of 2 argument(s)",
        ),
    ] {
        let Command::OnContainer { verb, .. } = parse(line).command else {
            panic!("{line}")
        };
        assert!(
            matches!(&verb, Verb::Malformed(error) if error.to_string() == told),
            "{line}: {verb:?}"
        );
    }
}

#[test]
fn global_flags_that_make_no_sense_are_runcs_to_refuse() {
    for line in [
        "runu --root",
        "runu --frob",
        "runu --systemd-cgroup=x start c",
    ] {
        assert!(matches!(parse(line).command, Command::Delegate), "{line}");
    }
    let later = parse("runu --of-tomorrow start c").command;
    assert!(matches!(later, Command::OnContainer { .. }), "{later:?}");
}
