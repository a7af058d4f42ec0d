//! runu under the callers that Debian has beside CRI: `ctr`, podman and dockerd,
//! each with an ordinary container and with a unikernel.
//!
//! The life that a container leads is the same everywhere ([`life`]); what an
//! ordinary one and a unikernel do differently in it is one table ([`kind`]).

mod caller;
mod ctr;
mod docker;
mod kind;
mod life;
mod network;
mod podman;
mod terminal;

use ctr::Ctr;
use docker::Docker;
use harness::containerd;
use podman::Podman;

#[test]
fn ctr_and_an_ordinary_container() {
    if !containerd::cannot_start() {
        life::lead(&mut Ctr::start(), &kind::ordinary());
    }
}

#[test]
fn ctr_and_a_unikernel() {
    if !containerd::cannot_start() && !harness::cannot_boot() {
        life::lead(&mut Ctr::start(), &kind::unikernel());
    }
}

#[test]
fn podman_and_an_ordinary_container() {
    if !podman::cannot_start() {
        life::lead(&mut Podman::start(), &kind::ordinary());
    }
}

#[test]
fn podman_and_a_unikernel() {
    if !podman::cannot_start() && !harness::cannot_boot() {
        life::lead(&mut Podman::start(), &kind::unikernel());
    }
}

#[test]
fn docker_and_an_ordinary_container() {
    if !docker::cannot_start() {
        life::lead(&mut Docker::start(), &kind::ordinary());
    }
}

#[test]
fn docker_and_a_unikernel() {
    if !docker::cannot_start() && !harness::cannot_boot() {
        life::lead(&mut Docker::start(), &kind::unikernel());
    }
}

#[test]
fn podman_and_its_network() {
    if !podman::cannot_start() && !harness::cannot_boot() {
        network::serve(&mut Podman::start());
    }
}

#[test]
fn docker_and_its_network() {
    if !docker::cannot_start() && !harness::cannot_boot() {
        network::serve(&mut Docker::with_network());
    }
}
