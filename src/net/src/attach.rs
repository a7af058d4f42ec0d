//! The way between the pod's interface and a guest's tap: made, found again, removed.

use crate::bpf;
use crate::error::Error;
use crate::interface::Interface;
use crate::label::Label;
use crate::link;
use crate::namespace::Namespace;
use crate::netlink::Netlink;
use crate::ports::Ports;
use crate::tap::{self, Tap};
use crate::tc::{self, Filter, IngressQdisc, MirredAction};

/// What a guest is to have of a pod's network.
#[derive(Debug, Clone, Copy)]
pub struct AttachOptions<'a> {
    /// A token of the guest's alone, without blanks, of 40 bytes at most.
    pub owner: &'a str,
    /// The ports that are the guest's: what arrives for others is the namespace's own. `None`:
    /// all are the guest's.
    pub ports: Option<&'a Ports>,
    /// Whether each packet has a `struct virtio_net_hdr` before it.
    pub vnet_header: bool,
}

/// A guest's place in the network.
#[derive(Debug)]
pub struct Attached {
    /// The pod's interface, whose addresses the guest is to have.
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
/// When another guest has the ports, or the kernel refuses; nothing is left then.
pub fn attach(namespace: &Namespace, options: AttachOptions) -> Result<Option<Attached>, Error> {
    namespace.enter(|| {
        let netlink = &mut Netlink::open()?;
        remove(netlink, |label| label.owner == options.owner)?;
        let Some(interface) = Interface::find(netlink)? else {
            return Ok(None);
        };
        let others = others(netlink, &interface)?;
        refuse_to_share(&others, options.ports)?;
        let tap = Tap::create(netlink, interface.mtu, options.vnet_header)?;
        join(netlink, &interface, &tap, options, &others).inspect_err(|_| {
            // The first error is the one to tell.
            let _ = remove(netlink, |label| label.owner == options.owner);
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

/// Removes the filters whose label matches, on all interfaces.
fn remove(netlink: &mut Netlink, matches: impl Fn(&Label) -> bool) -> Result<(), Error> {
    let mut remove = || {
        for qdisc in IngressQdisc::all(netlink)? {
            let mut filters = qdisc.filters(netlink)?;
            filters.retain(|filter| matches(&filter.label));
            qdisc.remove(netlink, &filters)?;
        }
        Ok(())
    };
    remove().map_err(Error::doing("remove a guest's filters"))
}

/// The filters of other guests that live: those whose tap is gone are removed.
fn others(netlink: &mut Netlink, interface: &Interface) -> Result<Vec<Filter>, Error> {
    let links = link::list(netlink)?;
    let is_there = |label: &Label| {
        let tap = links.iter().find(|link| link.header.index == label.tap);
        tap.is_some_and(tap::is_tap)
    };
    remove(netlink, |label| !is_there(label))?;
    let listing = Error::doing("list other guests' filters");
    match qdisc(netlink, interface)? {
        Some(qdisc) => qdisc.filters(netlink).map_err(listing),
        None => Ok(Vec::new()),
    }
}

fn qdisc(netlink: &mut Netlink, interface: &Interface) -> Result<Option<IngressQdisc>, Error> {
    let all = IngressQdisc::all(netlink).map_err(Error::doing("list its qdiscs"))?;
    Ok(all.into_iter().find(|qdisc| qdisc.index == interface.index))
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
    options: AttachOptions,
    others: &[Filter],
) -> Result<(), Error> {
    let qdisc = qdisc(netlink, interface)?;
    let label = Label {
        owner: options.owner.to_owned(),
        tap: tap.index,
        made_qdisc: qdisc.is_none() || others.iter().any(|other| other.label.made_qdisc),
        ports: options.ports.cloned(),
    };
    let label = label.to_string();
    let filter = |from: u32, program, action, to: u32| {
        tc::filter(from, &bpf::with_label(&label, program), action, to)
    };
    let everything = bpf::match_all;
    let out = filter(
        tap.index,
        everything(),
        MirredAction::Redirect,
        interface.index,
    );
    let doing = "redirect packets, by the kernel's modules sch_ingress, cls_bpf and act_mirred";
    IngressQdisc::make(netlink, tap.index, vec![out]).map_err(Error::doing(doing))?;
    let program = options.ports.map_or_else(everything, bpf::match_ports);
    let mut into = vec![filter(
        interface.index,
        program,
        MirredAction::Redirect,
        tap.index,
    )];
    if options.ports.is_some() {
        into.push(filter(
            interface.index,
            bpf::match_shared(),
            MirredAction::Mirror,
            tap.index,
        ));
    }
    let joined = match qdisc {
        Some(qdisc) => qdisc.add(netlink, into),
        None => IngressQdisc::make(netlink, interface.index, into),
    };
    joined.map_err(Error::doing(doing))
}
