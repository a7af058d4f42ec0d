//! A web server on the network that the caller itself makes: asked at its own address, and at a
//! published port of the node's.

use std::net::{IpAddr, SocketAddr};

use crate::caller::{Caller, ok};
use harness::http;
use harness::images::{self, Guest};
use harness::program::TIMEOUT;

const WEB: Guest = ("web", "linux64");
const PUBLISHED: u16 = 8080;

pub fn serve(caller: &mut impl Caller) {
    caller.import(&images::unikernel(WEB).unwrap());
    caller.import(&images::busybox().unwrap());
    // The first container's network leaves a bridge.
    let mut first = caller.client();
    first.args(["run", "--rm"]).args(caller.run_flags());
    first.args([images::BUSYBOX, "true"]);
    ok(first);
    let before = caller.census();
    let mut run = caller.client();
    run.args(["run", "--detach", "--name", "web", "--hostname", "served"])
        .arg(format!("--publish={PUBLISHED}:80"))
        .args(caller.run_flags())
        .args([&images::unikernel_name(WEB), "web"]);
    ok(run);
    let address = |what: &str| -> IpAddr {
        let found = caller.inspect("web", &format!("{{{{.NetworkSettings.{what}}}}}"));
        found.parse().unwrap()
    };
    let own = SocketAddr::new(address("IPAddress"), 80);
    let published = SocketAddr::new(address("Gateway"), PUBLISHED);
    for server in [own, published] {
        let answer = caller
            .node()
            .within(|| http::get(server, "/hostname", TIMEOUT))
            .unwrap_or_else(|e| panic!("{server}: {e}\n{}", caller.logs("web")));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body, b"served\n", "{server}");
    }
    caller.verb(&["stop", "web"]);
    assert_eq!(caller.inspect("web", "{{.State.ExitCode}}"), "0");
    caller.verb(&["rm", "web"]);
    caller.node().assert_nothing_left_since(&before);
}
