//! Each family's line, against what its guest's own parser makes of it.

use super::*;

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The line for `args` and `env`, on a machine called `host1` in the directory `/srv`.
fn try_line(
    family: Family,
    traits: Option<&KernelTraits>,
    args: &[&str],
    env: &[&str],
) -> Result<String, Error> {
    let (args, env) = (strings(args), strings(env));
    let params = BootParams {
        args: &args,
        env: &env,
        hostname: Some("host1"),
        cwd: Some("/srv"),
        initrd: true,
        ..BootParams::default()
    };
    command_line(family, traits, &params)
}

fn line(family: Family, args: &[&str], env: &[&str]) -> String {
    try_line(family, None, args, env).unwrap()
}

/// What the error says.
fn fault(family: Family, args: &[&str], env: &[&str]) -> String {
    let fault = try_line(family, None, args, env).unwrap_err().to_string();
    assert!(!fault.contains('\n'), "{fault}");
    fault
}

fn unikraft(reads_parameters: bool, reads_environment: bool) -> KernelTraits {
    KernelTraits {
        reads_parameters,
        reads_environment,
        ..KernelTraits::new(Family::Unikraft)
    }
}

#[test]
fn names_are_understood_and_misspelt_ones_are_not() {
    for (name, family) in [
        ("unikraft", Some(Family::Unikraft)),
        ("mirage", Some(Family::Solo5)),
        ("solo5", Some(Family::Solo5)),
        ("rumprun", Some(Family::Rumprun)),
        ("mewz", Some(Family::Other)),
        ("other", Some(Family::Other)),
        ("unicraft", None),
        ("Unikraft", None),
        ("", None),
    ] {
        assert_eq!(Family::named(name), family, "{name}");
    }
    for name in [
        "hermit", "linux", "nanos", "osv", "rumprun", "solo5", "unikraft", "other",
    ] {
        assert_eq!(Family::named(name).unwrap().to_string(), name);
        assert!(name == "solo5" || Family::NAMED.contains(name), "{name}");
    }
}

#[test]
fn without_a_family_arguments_are_quoted_where_they_must_be() {
    let args = strings(&["app", "a b", "", "x=1"]);
    assert_eq!(joined(&args), r#"app "a b" "" x=1"#);
    assert_eq!(
        line(Family::Other, &["app", "a b"], &["K=V"]),
        r#"app "a b""#
    );
}

#[test]
fn unikraft_gets_its_environment_as_parameters() {
    let with = |traits, args: &[&str], env: &[&str]| {
        try_line(Family::Unikraft, Some(&traits), args, env).unwrap()
    };
    let env = ["K=V", "L=a b]", "E=", "Q=\"\\"];
    assert_eq!(
        with(unikraft(true, true), &["app", "a", "--", "b"], &env),
        r#"app env.vars=K=V "env.vars=L=a b]" env.vars=E= "env.vars=Q=\"\\" -- a -- b"#
    );
    // A kernel that reads none would take it all for arguments.
    for traits in [unikraft(true, false), unikraft(false, false)] {
        assert_eq!(with(traits, &["app", "a"], &["K=V"]), "app a");
    }
    assert_eq!(line(Family::Unikraft, &["app", "a"], &["K=V"]), "app a");
}

#[test]
fn devices_stand_where_the_guest_looks_for_them() {
    let devices = strings(&["virtio_mmio.device=4K@0xd0000000:5"]);
    let args = strings(&["app", "a"]);
    let line = |family, traits: Option<&KernelTraits>| {
        let params = BootParams {
            args: &args,
            devices: &devices,
            ..BootParams::default()
        };
        command_line(family, traits, &params).unwrap()
    };
    let word = &devices[0];
    // One that shows nothing of itself is not taken for one that reads no parameters.
    for traits in [Some(&unikraft(true, false)), None] {
        assert_eq!(line(Family::Unikraft, traits), format!("app {word} -- a"));
    }
    assert_eq!(line(Family::Hermit, None), format!("app {word} -- a"));
    assert_eq!(line(Family::Osv, None), format!("{word} app a"));
    // It would take them for arguments; and others find devices by other means.
    let deaf = unikraft(false, false);
    assert_eq!(line(Family::Unikraft, Some(&deaf)), "app a");
    assert_eq!(line(Family::Other, None), "app a");
}

#[test]
fn a_stored_template_makes_the_same_line() {
    let template = CmdlineTemplate {
        family: Family::Unikraft,
        traits: Some(unikraft(true, true)),
        args: strings(&["app", "a"]),
        env: strings(&["K=V"]),
        hostname: Some("host1".to_owned()),
        cwd: None,
        initrd: true,
        root: Root::Initrd,
        read_only: false,
    };
    let read_back: CmdlineTemplate =
        serde_json::from_str(&serde_json::to_string(&template).unwrap()).unwrap();
    assert_eq!(read_back, template);
    assert_eq!(read_back.line(None, &[]).unwrap(), "app env.vars=K=V -- a");
}

#[test]
fn unikrafts_own_separator_does_not_eat_arguments() {
    let plain = |args: &[&str]| try_line(Family::Unikraft, Some(&unikraft(true, false)), args, &[]);
    assert_eq!(plain(&["app", "--", "a"]).unwrap(), "app -- a");
    assert_eq!(
        plain(&["app", "a", "--", "b"]).unwrap(),
        "app env.vars=[ ] -- a -- b"
    );
    assert_eq!(
        line(Family::Unikraft, &["app", "a", "--", "b"], &[]),
        "app a -- b"
    );
}

#[test]
fn unikraft_arguments_are_quoted_as_its_parser_splits() {
    let args = ["é", "a b", "it's", r"a\b", "x\ty", "[ ]", "$H"];
    assert_eq!(
        line(Family::Unikraft, &args, &[]),
        "é \"a b\" \"it's\" \"a\\\\b\" \"x\ty\" \"[ ]\" $H"
    );
    assert!(fault(Family::Unikraft, &["app", ""], &[]).contains("is empty"));
    let bracket = try_line(
        Family::Unikraft,
        Some(&unikraft(true, true)),
        &["app"],
        &["[a=1"],
    );
    assert!(bracket.unwrap_err().to_string().contains("begins with ["));
    assert_eq!(line(Family::Unikraft, &[], &[]), "unikraft");
}

#[test]
fn unikrafts_limits_are_told() {
    let words = vec!["a"; 60];
    assert_eq!(line(Family::Unikraft, &words, &[]).len(), 119);
    let message = fault(Family::Unikraft, &[&words[..], &["a"]].concat(), &[]);
    assert!(message.contains("takes 60 words"), "{message}");
    assert!(
        message.contains("has 61") && message.contains("runu.dev/cmdline"),
        "{message}"
    );
    let long = "x".repeat(4095);
    assert_eq!(line(Family::Unikraft, &[&long], &[]), long);
    let message = fault(Family::Unikraft, &[&long, "a"], &[]);
    assert!(
        message.contains("4095 bytes") && message.contains("make 4097"),
        "{message}"
    );
}

#[test]
fn solo5_gets_all_arguments_and_nothing_else() {
    let args = [
        "--ipv4=10.0.0.2/24",
        "a b",
        r#"say "hi""#,
        r"a\b",
        "x\ty",
        "é",
    ];
    assert_eq!(
        line(Family::Solo5, &args, &["K=V"]),
        "--ipv4=10.0.0.2/24 \"a b\" \"say \\\"hi\\\"\" \"a\\\\b\" x\ty é"
    );
    let virtio = KernelTraits {
        drops_a_word: true,
        ..KernelTraits::new(Family::Solo5)
    };
    let line_of_virtio = try_line(Family::Solo5, Some(&virtio), &["a", "b"], &[]);
    assert_eq!(line_of_virtio.unwrap(), "solo5 a b");
    assert!(fault(Family::Solo5, &[""], &[]).contains("is empty"));
    assert_eq!(line(Family::Solo5, &[&"x".repeat(8191)], &[]).len(), 8191);
    assert!(fault(Family::Solo5, &[&"x".repeat(8192)], &[]).contains("8191 bytes"));
}

#[test]
fn linux_runs_the_program_as_init() {
    let start = "console=ttyS0 quiet panic=-1 reboot=t hostname=host1";
    assert_eq!(
        line(
            Family::Linux,
            &["/bin/app", "a b", "", "c=d e"],
            &["K=V", "L=x y"]
        ),
        format!("{start} K=V \"L=x y\" rdinit=/bin/app -- \"a b\" \"\" \"c=d e\"")
    );
    // Without a path it is an argument of the init that is there.
    assert_eq!(
        line(Family::Linux, &["app", "a"], &[]),
        format!("{start} -- app a")
    );
    assert_eq!(line(Family::Linux, &[], &[]), start);
    let args = strings(&["/sbin/init"]);
    let params = BootParams {
        args: &args,
        ..BootParams::default()
    };
    let line = command_line(Family::Linux, None, &params).unwrap();
    assert_eq!(
        line,
        "console=ttyS0 quiet panic=-1 reboot=t init=/sbin/init"
    );
}

#[test]
fn linux_takes_a_byte_of_some_letters_for_white_space() {
    // à is c3 a0 in UTF-8.
    let line = line(Family::Linux, &["/i", "à", "é", "a\u{b}b"], &[]);
    assert!(line.ends_with(" -- \"à\" é \"a\u{b}b\""), "{line}");
}

#[test]
fn what_linux_would_read_otherwise_is_told() {
    for (args, env, message) in [
        (&["/i", "say \"hi\""][..], &[][..], "double quote"),
        (
            &["/i"],
            &["K=\"secret"],
            "environment variable \"K\" has a double quote",
        ),
        (&["/i"], &["a.b=c"], "a dot in its name"),
        (&["/i"], &["novalue"], "no NAME=VALUE"),
        (&["/i"], &["=x"], "no NAME=VALUE"),
    ] {
        let fault = fault(Family::Linux, args, env);
        assert!(
            fault.contains(message) && !fault.contains("secret"),
            "{fault}"
        );
    }
    let args = vec!["a"; 33];
    assert!(try_line(Family::Linux, None, &args[..32], &[]).is_ok());
    assert!(fault(Family::Linux, &args, &[]).contains("32 arguments"));
    let env: Vec<String> = (0..32).map(|n| format!("K{n}=V")).collect();
    let env: Vec<&str> = env.iter().map(String::as_str).collect();
    let own = ["HOME=/h", "TERM=t"];
    assert!(try_line(Family::Linux, None, &[], &[&env[..31], &own].concat()).is_ok());
    assert!(fault(Family::Linux, &[], &env).contains("31 variables"));
    assert!(fault(Family::Linux, &[&"x".repeat(2048)], &[]).contains("2047 bytes"));
}

#[test]
fn nanos_gets_entries_of_its_manifest() {
    assert_eq!(
        line(Family::Nanos, &["/app", "-p=80"], &["K=V=W"]),
        "arguments.0=/app arguments.1=-p=80 environment.K=V=W cwd=/srv"
    );
    for (args, env, message) in [
        (&["a b"][..], &[][..], "\"a b\" has a blank"),
        (&[""], &[], "is empty"),
        (&["a"], &["K=a b"], "variable \"K\" has a blank"),
        (&["a"], &["a.b=c"], "a dot in its name"),
    ] {
        let fault = fault(Family::Nanos, args, env);
        assert!(fault.contains(message), "{fault}");
    }
}

#[test]
fn osv_gets_options_and_a_program() {
    assert_eq!(
        line(
            Family::Osv,
            &["--rootfs=zfs", "/app.so", "-x", "a b", "c;d", r#"e"f"#, ""],
            &["K=a b"]
        ),
        r#"--env=K=a\ b --cwd=/srv --rootfs=zfs /app.so -x "a b" "c;d" "e\"f" """#
    );
    assert!(fault(Family::Osv, &["/a", "$HOME"], &[]).contains("has a $"));
}

#[test]
fn hermit_gets_what_a_shell_would_split() {
    assert_eq!(
        line(
            Family::Hermit,
            &["/app", "a b", "it's", "", "é", "--"],
            &["K=V", "L=x y"]
        ),
        r#"/app env=K=V 'env=L=x y' -- 'a b' 'it'\''s' '' é --"#
    );
    assert_eq!(line(Family::Hermit, &[], &["K=V"]), "env=K=V");
    for name in ["-ip", "a=b", ""] {
        assert!(
            fault(Family::Hermit, &[name], &[]).contains("no program's name"),
            "{name}"
        );
    }
}

#[test]
fn rumprun_gets_json_as_it_reads_it() {
    assert_eq!(
        line(
            Family::Rumprun,
            &["app", "a b", r#"say "hi""#, r"c\d", ""],
            &["K=V", "L=x y"]
        ),
        r#"{"cmdline":"app 'a b' 'say \"hi\"' c\\d ''","env":"K=V","env":"L=x y","hostname":"host1"}"#
    );
    for (args, env, message) in [
        (&["it's"][..], &[][..], "single quote"),
        (&["a\tb"], &[], "control character"),
        (&["a"], &["K=\"v"], "variable \"K\" has a double quote"),
        (&["a"], &["K=\\"], "a backslash"),
    ] {
        let fault = fault(Family::Rumprun, args, env);
        assert!(fault.contains(message), "{fault}");
    }
    assert!(fault(Family::Rumprun, &[&"x".repeat(4096)], &[]).contains("4095 bytes"));
}

#[test]
fn errors_quote_the_beginning_alone() {
    let fault = fault(Family::Nanos, &[&"a b\n".repeat(1000)], &[]);
    assert!(fault.len() < 300, "{fault}");
}
