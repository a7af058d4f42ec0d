//! A machine's description, from facts that are made up.

use bundle::Config;
use decision::facts::{Facts, GatherOptions};
use decision::plan::{Fault, Plan};
use decision::policy::{Outcome, Policy, PolicyFile};
use vmm::{BootAbi, Transport};

/// Facts of a bundle with this config.json, on a host with 4 CPUs.
fn facts(config: &str) -> Facts {
    let config = Config::parse(config.as_bytes()).unwrap();
    let mut facts = Facts::of_config(&config, GatherOptions::default());
    facts.host_cpus = 4;
    facts.set_synthetic_kernel(BootAbi::Pvh);
    facts
}

fn vcpus_by_annotation(count: &str) -> Result<u8, Fault> {
    let config = format!(r#"{{"annotations": {{"runu.dev/vcpus": "{count}"}}}}"#);
    Plan::make(&facts(&config)).map(|plan| plan.vcpus)
}

fn vcpus_by_quota(microseconds: i64) -> Result<u8, Fault> {
    let cpu = format!(r#"{{"quota": {microseconds}, "period": 100000}}"#);
    let config = format!(r#"{{"linux": {{"resources": {{"cpu": {cpu}}}}}}}"#);
    Plan::make(&facts(&config)).map(|plan| plan.vcpus)
}

#[test]
fn a_quota_gives_whole_cpus_up_to_the_hosts() {
    for (microseconds, given) in [(-1, 1), (50_000, 1), (150_000, 2), (900_000, 4)] {
        assert_eq!(vcpus_by_quota(microseconds), Ok(given), "{microseconds}");
    }
}

#[test]
fn a_policys_ceiling_lowers_a_quota_and_refuses_a_wish() {
    let text = r#"version = 1
        pods = { vcpus = 2 }
        [[rules]]
        name = "all"
        because = "of this test"
        then = "unikernel"
        when = { kind = "standalone" }"#;
    let policy = Policy::of(vec![PolicyFile::parse("f", text).unwrap()]);
    let decide = |config| policy.decide(&facts(config)).outcome;
    let quota = r#"{"linux": {"resources": {"cpu": {"quota": 400000}}}}"#;
    match decide(quota) {
        Outcome::Unikernel(plan) => assert_eq!(plan.vcpus, 2),
        other => panic!("{other:?}"),
    }
    let wish = r#"{"annotations": {"runu.dev/vcpus": "3"}}"#;
    assert!(matches!(decide(wish), Outcome::Deny));
}

#[test]
fn a_wish_for_vcpus_is_granted_or_refused_but_never_cut() {
    assert_eq!(vcpus_by_annotation("254"), Ok(254));
    for asked in ["255", "256", "18446744073709551615"] {
        let told = vcpus_by_annotation(asked).unwrap_err().to_string();
        let expected = format!("asks for {asked} vCPUs: a guest has 254 at most");
        assert!(told.ends_with(&expected), "{told}");
    }
}

fn memory_by_limit(annotations: &str) -> u64 {
    let memory = r#"{"limit": 268435456}"#;
    let config = format!(
        r#"{{"annotations": {annotations}, "linux": {{"resources": {{"memory": {memory}}}}}}}"#
    );
    Plan::make(&facts(&config)).unwrap().memory
}

#[test]
fn what_a_limit_gives_leaves_room_for_the_monitor_and_for_virtiofsd() {
    assert_eq!(memory_by_limit("{}") >> 20, 246);
    let served = r#"{"runu.dev/rootfs": "virtiofs"}"#;
    assert_eq!(memory_by_limit(served) >> 20, 234);
}

fn transport(annotations: &str) -> Option<Transport> {
    let config = format!(r#"{{"annotations": {annotations}}}"#);
    let mut facts = facts(&config);
    facts.set_synthetic_kernel(BootAbi::Linux64);
    Plan::make(&facts).unwrap().virtio
}

#[test]
fn a_guest_finds_its_devices_where_its_drivers_look() {
    for (annotations, expected) in [
        (r#"{"runu.dev/family": "unikraft"}"#, Transport::Mmio),
        (
            r#"{"runu.dev/family": "unikraft", "runu.dev/rootfs": "9p"}"#,
            Transport::MmioLegacy,
        ),
        (
            r#"{"runu.dev/family": "unikraft", "runu.dev/rootfs": "9p", "runu.dev/virtio": "mmio"}"#,
            Transport::Mmio,
        ),
        (r#"{"runu.dev/family": "hermit"}"#, Transport::PciModern),
        (r#"{"runu.dev/family": "osv"}"#, Transport::Pci),
    ] {
        assert_eq!(transport(annotations), Some(expected), "{annotations}");
    }
}
