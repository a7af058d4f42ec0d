//! What each family's command line says of one network.

use std::net::{IpAddr, Ipv4Addr};

use crate::{Address, BootParams, Error, Family, KernelTraits, Network, Route, command_line};

fn network() -> Network {
    let address = |ip: &str, prefix| Address {
        ip: ip.parse().unwrap(),
        prefix,
    };
    Network {
        mac: [2, 0, 0, 0, 0, 1],
        mtu: 1450,
        ipv4: vec![address("10.9.0.2", 22), address("10.9.0.3", 22)],
        ipv6: vec![Address {
            ip: "fd09::2".parse().unwrap(),
            prefix: 64,
        }],
        gateway4: Some(Ipv4Addr::new(10, 9, 1, 1)),
        gateway6: Some("fd09::1".parse().unwrap()),
        routes: Vec::new(),
        nameservers: ["fd00::a", "10.96.0.10", "10.96.0.11"]
            .map(|ip| ip.parse().unwrap())
            .into(),
        search: vec!["default.svc.cluster.local".to_owned()],
        hostname: Some("web".to_owned()),
        domain: Some("default.svc.cluster.local".to_owned()),
    }
}

fn try_line(
    family: Family,
    traits: Option<&KernelTraits>,
    network: &Network,
) -> Result<String, Error> {
    let args = ["app", "a"].map(str::to_owned);
    let params = BootParams {
        args: &args,
        network: Some(network),
        ..BootParams::default()
    };
    command_line(family, traits, &params)
}

fn unikraft(release: Option<&str>, reads_parameters: bool) -> KernelTraits {
    KernelTraits {
        release: release.map(str::to_owned),
        reads_parameters,
        ..KernelTraits::new(Family::Unikraft)
    }
}

#[test]
fn each_family_has_its_own_parameters() {
    let linux = "console=ttyS0 quiet panic=-1 reboot=t";
    for (family, line) in [
        (
            Family::Unikraft,
            "app netdev.ip=10.9.0.2/22:10.9.1.1:10.96.0.10:10.96.0.11:web:default.svc.cluster.local -- a",
        ),
        (
            Family::Solo5,
            "--ipv4=10.9.0.2/22 --ipv4-gateway=10.9.1.1 --ipv6=fd09::2/64 --ipv6-gateway=fd09::1 app a",
        ),
        (
            Family::Linux,
            &format!(
                "{linux} ip=10.9.0.2::10.9.1.1:255.255.252.0:web:eth0:off:10.96.0.10:10.96.0.11 -- app a"
            ),
        ),
        (
            Family::Nanos,
            "arguments.0=app arguments.1=a en1.ipaddr=10.9.0.2 en1.netmask=255.255.252.0 \
             en1.gateway=10.9.1.1 en1.ip6addr=fd09::2 en1.mtu=1450",
        ),
        (
            Family::Osv,
            "--ip=eth0,10.9.0.2,255.255.252.0 --defaultgw=10.9.1.1 --nameserver=10.96.0.10 app a",
        ),
        (
            Family::Hermit,
            "app env=HERMIT_IP=10.9.0.2 env=HERMIT_MASK=255.255.252.0 env=HERMIT_GATEWAY=10.9.1.1 \
             env=HERMIT_DNS1=10.96.0.10 env=HERMIT_DNS2=10.96.0.11 -- a",
        ),
        (
            Family::Rumprun,
            r#"{"cmdline":"app a","net":{"if":"vioif0","type":"inet","method":"static","addr":"10.9.0.2","mask":"22","gw":"10.9.1.1"}}"#,
        ),
        (Family::Other, "app a"),
    ] {
        assert_eq!(try_line(family, None, &network()).unwrap(), line);
    }
}

#[test]
fn unikrafts_words_are_those_of_its_release() {
    let old = "app netdev.ipv4_addr=10.9.0.2 netdev.ipv4_subnet_mask=255.255.252.0 \
        netdev.ipv4_gw_addr=10.9.1.1 -- a";
    for (release, is_new) in [
        (None, false),
        (Some("0.15.0"), false),
        (Some("0.16.0"), false),
        (Some("0.16.1"), true),
        (Some("0.17.0"), true),
        (Some("1.0"), true),
    ] {
        let line = try_line(Family::Unikraft, Some(&unikraft(release, true)), &network()).unwrap();
        assert_eq!(line.starts_with("app netdev.ip="), is_new, "{release:?}");
        assert_eq!(line == old, !is_new, "{release:?}");
    }
    // It would take them for arguments.
    let none = try_line(Family::Unikraft, Some(&unikraft(None, false)), &network());
    assert_eq!(none.unwrap(), "app a");
}

#[test]
fn what_is_not_there_is_left_out() {
    let bare = Network {
        ipv4: network().ipv4,
        ..Network::default()
    };
    for (family, line) in [
        (Family::Unikraft, "app netdev.ip=10.9.0.2/22 -- a"),
        (Family::Solo5, "--ipv4=10.9.0.2/22 app a"),
        (Family::Osv, "--ip=eth0,10.9.0.2,255.255.252.0 app a"),
    ] {
        assert_eq!(try_line(family, None, &bare).unwrap(), line);
    }
    // An interface without any address: the guest may find its own.
    let empty = Network::default();
    assert_eq!(try_line(Family::Unikraft, None, &empty).unwrap(), "app a");
    assert_eq!(try_line(Family::Osv, None, &empty).unwrap(), "app a");
}

#[test]
fn a_rumprun_of_solo5s_makes_its_interface() {
    let traits = KernelTraits::new(Family::Solo5);
    let ipv6 = Network {
        ipv4: Vec::new(),
        gateway4: None,
        ..network()
    };
    assert_eq!(
        try_line(Family::Rumprun, Some(&traits), &ipv6).unwrap(),
        r#"{"cmdline":"app a","net":{"if":"ukvmif0","cloner":"true","type":"inet6","method":"static","addr":"fd09::2","mask":"64","gw":"fd09::1"}}"#
    );
}

#[test]
fn a_guest_that_could_not_be_reached_is_refused() {
    let families = [
        Family::Unikraft,
        Family::Linux,
        Family::Osv,
        Family::Hermit,
        Family::Nanos,
        Family::Rumprun,
        Family::Solo5,
    ];
    let refuse = |network: &Network| {
        let refused = families
            .iter()
            .filter(|family| try_line(**family, None, network).is_err());
        refused
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let ipv6 = Network {
        ipv4: Vec::new(),
        ..network()
    };
    assert_eq!(refuse(&ipv6), "unikraft linux osv hermit");
    let far = Network {
        gateway4: Some(Ipv4Addr::new(169, 254, 1, 1)),
        ..network()
    };
    assert_eq!(refuse(&far), "linux osv rumprun");
    let fault = try_line(Family::Linux, None, &far).unwrap_err().to_string();
    let words =
        "the pod's gateway 169.254.1.1 is outside of its network 10.9.0.2/22, which a linux guest";
    assert!(fault.starts_with(words), "{fault}");
    let any = Address {
        ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        prefix: 0,
    };
    let bare = Network {
        routes: vec![Route {
            to: any,
            gateway: None,
        }],
        ..network()
    };
    assert_eq!(refuse(&bare).split(' ').count(), families.len());
}

#[test]
fn what_the_arguments_set_is_not_set_again() {
    let (args, env) = (
        ["--ipv4=1.2.3.4/8", "--ipv6-gateway", "fe80::1"].map(str::to_owned),
        ["HERMIT_IP=1.2.3.4".to_owned()],
    );
    let network = network();
    let params = BootParams {
        args: &args,
        env: &env,
        network: Some(&network),
        ..BootParams::default()
    };
    let line = command_line(Family::Solo5, None, &params).unwrap();
    let own = "--ipv4-gateway=10.9.1.1 --ipv6=fd09::2/64 --ipv4=1.2.3.4/8 --ipv6-gateway fe80::1";
    assert_eq!(line, own);
    let params = BootParams {
        args: &[],
        ..params
    };
    let line = command_line(Family::Hermit, None, &params).unwrap();
    assert_eq!(line.matches("HERMIT_IP=").count(), 1, "{line}");
}
