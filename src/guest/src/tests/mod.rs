//! Each family's line, against what its guest's own parser makes of it.

mod families;
mod network;
mod root;

use crate::*;

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
        let family = Family::named(name).unwrap();
        assert_eq!(family.to_string(), name);
        assert_eq!(family.traits().family, family);
        assert_eq!(serde_json::to_string(&family).unwrap(), format!("{name:?}"));
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
fn unikrafts_limits_are_held() {
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
