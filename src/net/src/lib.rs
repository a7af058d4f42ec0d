//! A guest's place in a network namespace: the pod's interface, and a tap that has its packets.
//!
//! It knows nothing of containers: the caller names a namespace and an owner.
//!
//! | module | what it knows |
//! |---|---|
//! | [`namespace`] | a network namespace, and work that is done in it |
//! | [`interface`] | the pod's interface: addresses, routes, gateways |
//! | [`tap`] | the guest's end of the network |
//! | [`redirect`], [`label`] | the way from one to the other, and whose it is |
//! | [`ports`], [`program`] | which packets are whose, where several share an address |
//! | [`resolver`] | resolv.conf |
//! | [`loopback`] | the loopback interface |
//! | [`netlink`] | rtnetlink, one request at a time |

#![warn(missing_docs)]
// A test knows its numbers.
#![cfg_attr(
    test,
    allow(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::cast_lossless,
        clippy::too_many_lines
    )
)]

mod interface;
mod label;
mod loopback;
mod namespace;
mod netlink;
mod ports;
mod program;
mod redirect;
mod resolver;
mod tap;

use std::io;

pub use interface::{Interface, Route};
pub use loopback::take_loopback_up;
pub use namespace::Namespace;
pub use ports::{Ports, PortsError};
pub use resolver::Resolver;
pub use tap::Tap;

use label::Label;
use netlink::Netlink;
use redirect::{Fate, Filter, Hook, filter};

/// Why a guest cannot be given the pod's network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot enter the network namespace: {0}")]
    Enter(#[from] io::Error),
    #[error("network namespace: cannot {what}: {why}")]
    Failed { what: &'static str, why: io::Error },
    #[error(
        "the network namespace is this host's own, which a guest cannot share: give the pod one of its own"
    )]
    Own,
    #[error("the pod's interface {name} is no Ethernet, which is all that a guest can be given")]
    NotEthernet { name: String },
    #[error(
        "another unikernel has this pod's network: give each of them its ports, by annotation runu.dev/ports.<container>, or this one none, by runu.dev/network.<container>: none"
    )]
    Taken,
    #[error(
        "another unikernel of this pod has {theirs}, this one asks for {asked}: give each port to one"
    )]
    Overlap { asked: String, theirs: String },
}

impl Error {
    fn doing(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |why| Self::Failed { what, why }
    }
}

/// What a guest is to have of a pod's network.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A token of the guest's alone, without blanks, of 40 bytes at most.
    pub owner: &'a str,
    /// What arrives for others is the namespace's own; `None`: all is the guest's.
    pub ports: Option<&'a Ports>,
    /// Whether each packet has a `struct virtio_net_hdr` before it.
    pub vnet_header: bool,
}

/// A guest's place in the network.
#[derive(Debug)]
pub struct Attached {
    pub interface: Interface,
    /// What it is to send and receive by. With it goes all but the filters at `interface`.
    pub tap: Tap,
}

/// Makes a tap in `namespace` and joins it with the interface there. `None` where there is no
/// interface.
///
/// What guests that have ended have left there is taken over.
///
/// # Errors
/// When another guest has what is wanted, or the kernel refuses; nothing is left then.
pub fn attach(namespace: &Namespace, wanted: Wanted) -> Result<Option<Attached>, Error> {
    namespace.enter(|| {
        let netlink = &mut Netlink::open()?;
        remove(netlink, |label| label.owner == wanted.owner)?;
        let Some(interface) = Interface::find(netlink)? else {
            return Ok(None);
        };
        let others = others(netlink, &interface)?;
        refuse_to_share(&others, wanted.ports)?;
        let tap = Tap::create(netlink, interface.mtu, wanted.vnet_header)?;
        join(netlink, &interface, &tap, wanted, &others).inspect_err(|_| {
            // The first error is the one to tell.
            let _ = remove(netlink, |label| label.owner == wanted.owner);
        })?;
        Ok(Some(Attached { interface, tap }))
    })
}

/// Removes what is left of a guest in `namespace`.
///
/// # Errors
/// When the namespace cannot be entered, or the kernel refuses.
pub fn detach(namespace: &Namespace, owner: &str) -> Result<(), Error> {
    namespace.enter(|| remove(&mut Netlink::open()?, |label| label.owner == owner))
}

/// Removes the filters whose label is like that, wherever they are.
fn remove(netlink: &mut Netlink, is_like: impl Fn(&Label) -> bool) -> Result<(), Error> {
    let mut remove = || {
        for hook in Hook::all(netlink)? {
            let mut filters = hook.filters(netlink)?;
            filters.retain(|filter| is_like(&filter.label));
            hook.remove(netlink, &filters)?;
        }
        Ok(())
    };
    remove().map_err(Error::doing("remove a guest's filters"))
}

/// The filters of other guests that live: those whose tap is gone are removed.
fn others(netlink: &mut Netlink, interface: &Interface) -> Result<Vec<Filter>, Error> {
    let links = interface::links(netlink)?;
    let is_there = |label: &Label| {
        let tap = links.iter().find(|link| link.header.index == label.tap);
        tap.is_some_and(tap::is_tap)
    };
    remove(netlink, |label| !is_there(label))?;
    let listing = Error::doing("list other guests' filters");
    match hook(netlink, interface)? {
        Some(hook) => hook.filters(netlink).map_err(listing),
        None => Ok(Vec::new()),
    }
}

fn hook(netlink: &mut Netlink, interface: &Interface) -> Result<Option<Hook>, Error> {
    let all = Hook::all(netlink).map_err(Error::doing("list its qdiscs"))?;
    Ok(all.into_iter().find(|hook| hook.index == interface.index))
}

fn refuse_to_share(others: &[Filter], ports: Option<&Ports>) -> Result<(), Error> {
    for Filter { label, .. } in others {
        match (&label.ports, ports) {
            (Some(theirs), Some(asked)) if !theirs.overlap(asked) => {}
            (Some(theirs), Some(asked)) => {
                let (asked, theirs) = (asked.to_string(), theirs.to_string());
                return Err(Error::Overlap { asked, theirs });
            }
            _ => return Err(Error::Taken),
        }
    }
    Ok(())
}

/// Sets the filters both ways. The tap's come first: with them the kernel's modules, so that
/// nothing that can fail is left for the interface.
fn join(
    netlink: &mut Netlink,
    interface: &Interface,
    tap: &Tap,
    wanted: Wanted,
    others: &[Filter],
) -> Result<(), Error> {
    let hook = hook(netlink, interface)?;
    let label = Label {
        owner: wanted.owner.to_owned(),
        tap: tap.index,
        made_hook: hook.is_none() || others.iter().any(|other| other.label.made_hook),
        ports: wanted.ports.cloned(),
    };
    let label = label.to_string();
    let filter = |from: u32, program, fate, to: u32| {
        filter(from, &program::labelled(&label, program), fate, to)
    };
    let everything = program::everything;
    let out = filter(tap.index, everything(), Fate::Redirected, interface.index);
    let doing = "redirect packets, by the kernel's modules sch_ingress, cls_bpf and act_mirred";
    Hook::make(netlink, tap.index, vec![out]).map_err(Error::doing(doing))?;
    let program = wanted.ports.map_or_else(everything, program::to_ports);
    let mut into = vec![filter(
        interface.index,
        program,
        Fate::Redirected,
        tap.index,
    )];
    if wanted.ports.is_some() {
        into.push(filter(
            interface.index,
            program::shared(),
            Fate::Copied,
            tap.index,
        ));
    }
    let joined = match hook {
        Some(hook) => hook.add(netlink, into),
        None => Hook::make(netlink, interface.index, into),
    };
    joined.map_err(Error::doing(doing))
}
