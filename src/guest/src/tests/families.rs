//! Of Linux, Nanos, OSv, Hermit and rumprun.

use super::{fault, line, strings, try_line};
use crate::*;

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
fn what_linux_would_read_otherwise_is_refused() {
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
