//! Traffic control (tc(8)): what arrives at the pod's interface goes to a guest's tap, and what
//! the guest sends goes out there, by filters of an ingress qdisc.
//!
//! All that is known of it is in the kernel: a label in each filter says whose it is, so that
//! whoever comes later finds it, whatever became of who made it.

use std::io;

use netlink_packet_core::{DefaultNla, Emitable, NLM_F_CREATE, NLM_F_EXCL, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{
    TcAction, TcActionAttribute, TcActionMirror, TcActionMirrorOption, TcActionOption,
    TcActionType, TcAttribute, TcFilterBpf, TcHandle, TcMessage, TcMessageBuffer, TcMirror,
    TcMirrorActionType, TcOption,
};
use nix::libc::{self, TCA_KIND, TCA_OPTIONS};

use crate::bpf::{self, Instruction};
use crate::label::Label;
use crate::netlink::Netlink;

/// Where an `ingress` or a `clsact` qdisc has the filters of what arrives
/// (include/uapi/linux/pkt_sched.h, `TC_H_CLSACT` and `TC_H_MIN_INGRESS`).
const INGRESS_FILTERS: TcHandle = TcHandle {
    major: 0xffff,
    minor: TcHandle::MIN_INGRESS,
};
/// The handle that every such qdisc has.
const QDISC_HANDLE: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0,
};

/// After filters that others have set: what they drop stays dropped.
const PRIORITY: u32 = 0xc000;
/// In network order.
#[expect(clippy::cast_possible_truncation, reason = "an EtherType has 16 bits")]
const ALL_PROTOCOLS: u32 = (libc::ETH_P_ALL as u16).to_be() as u32;

/// Attributes of cls_bpf's options (include/uapi/linux/pkt_cls.h).
const TCA_BPF_ACT: u16 = 1;
const TCA_BPF_OPS_LEN: u16 = 4;
const TCA_BPF_OPS: u16 = 5;

/// What becomes of a packet that a filter matches (tc-mirred(8)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MirredAction {
    /// It goes out of another interface instead.
    Redirect,
    /// A copy does, and other filters see it too.
    Mirror,
}

/// The qdisc at which packets that arrive at an interface are filtered: `ingress` or `clsact`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IngressQdisc {
    /// The interface's (`ifindex`).
    pub index: u32,
    /// It has the filters of packets that leave as well: never one of ours.
    is_clsact: bool,
}

/// A filter that runu has set there.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub label: Label,
    handle: u32,
    info: u32,
}

impl IngressQdisc {
    /// All that there are in this namespace.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(crate) fn all(netlink: &mut Netlink) -> io::Result<Vec<Self>> {
        let list = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        let qdisc = |(_, payload): (u16, Vec<u8>)| {
            let message = TcMessageBuffer::new_checked(&payload[..]).ok()?;
            let kind = text(message.payload(), TCA_KIND)?;
            let index = u32::try_from(message.index()).ok()?;
            let is_clsact = kind == "clsact";
            (is_clsact || kind == "ingress").then_some(Self { index, is_clsact })
        };
        Ok(netlink
            .list_raw(list)?
            .into_iter()
            .filter_map(qdisc)
            .collect())
    }

    /// Makes one on an interface that has none, with its first filters: in one call, so that
    /// none is ever left without.
    ///
    /// # Errors
    /// The kernel's; nothing is left then.
    pub(crate) fn make(
        netlink: &mut Netlink,
        index: u32,
        filters: Vec<TcMessage>,
    ) -> io::Result<()> {
        let mut messages = vec![RouteNetlinkMessage::NewQueueDiscipline(qdisc(index))];
        messages.extend(
            filters
                .into_iter()
                .map(RouteNetlinkMessage::NewTrafficFilter),
        );
        netlink
            .change_all(messages, NLM_F_CREATE | NLM_F_EXCL)
            .inspect_err(|e| {
                if e.kind() != io::ErrorKind::AlreadyExists {
                    let _ =
                        netlink.change(RouteNetlinkMessage::DelQueueDiscipline(qdisc(index)), 0);
                }
            })
    }

    /// Adds filters.
    ///
    /// # Errors
    /// The kernel's; some may be there then.
    pub(crate) fn add(&self, netlink: &mut Netlink, filters: Vec<TcMessage>) -> io::Result<()> {
        let messages = filters
            .into_iter()
            .map(RouteNetlinkMessage::NewTrafficFilter);
        netlink.change_all(messages.collect(), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// The filters that runu has set here.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(crate) fn filters(&self, netlink: &mut Netlink) -> io::Result<Vec<Filter>> {
        let filter = |(_, payload): (u16, Vec<u8>)| {
            let message = TcMessageBuffer::new_checked(&payload[..]).ok()?;
            let options = attribute(message.payload(), TCA_OPTIONS)?;
            let program = attribute(&options, TCA_BPF_OPS)?;
            let label = bpf::read_label(&program)?.parse().ok()?;
            Some(Filter {
                label,
                handle: message.handle(),
                info: message.info(),
            })
        };
        Ok(self.list(netlink)?.into_iter().filter_map(filter).collect())
    }

    fn list(&self, netlink: &mut Netlink) -> io::Result<Vec<(u16, Vec<u8>)>> {
        netlink.list_raw(RouteNetlinkMessage::GetTrafficFilter(self.filter_message()))
    }

    /// Removes filters, and with the last of all the qdisc itself, if runu made it.
    ///
    /// # Errors
    /// The kernel's; what is gone already is none.
    pub(crate) fn remove(&self, netlink: &mut Netlink, filters: &[Filter]) -> io::Result<()> {
        for filter in filters {
            let mut message = self.filter_message();
            message.header.handle = filter.handle.into();
            message.header.info = filter.info;
            let kind = TcFilterBpf::KIND.to_owned();
            message.attributes = vec![TcAttribute::Kind(kind)];
            ignore_missing(netlink.change(RouteNetlinkMessage::DelTrafficFilter(message), 0))?;
        }
        let is_ours = !self.is_clsact && filters.iter().any(|filter| filter.label.made_qdisc);
        if is_ours && self.list(netlink)?.is_empty() {
            let qdisc = RouteNetlinkMessage::DelQueueDiscipline(qdisc(self.index));
            ignore_missing(netlink.change(qdisc, 0))?;
        }
        Ok(())
    }

    fn filter_message(&self) -> TcMessage {
        at_qdisc(self.index)
    }
}

/// A filter at the qdisc of interface `index`: packets that `program` matches go to interface
/// `to`.
pub(crate) fn filter(
    index: u32,
    program: &[Instruction],
    action: MirredAction,
    to: u32,
) -> TcMessage {
    let mut message = at_qdisc(index);
    message.header.info = PRIORITY << 16 | ALL_PROTOCOLS;
    let count = u16::try_from(program.len()).expect("fewer than the kernel's 4096 instructions");
    let program = program.iter().flat_map(|i| i.bytes()).collect();
    let other = |kind, bytes| TcOption::Other(DefaultNla::new(kind, bytes));
    message.attributes = vec![
        TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
        TcAttribute::Options(vec![
            other(TCA_BPF_OPS_LEN, count.to_ne_bytes().to_vec()),
            other(TCA_BPF_OPS, program),
            other(TCA_BPF_ACT, emitted(&[mirred(action, to)][..])),
        ]),
    ];
    message
}

fn at_qdisc(index: u32) -> TcMessage {
    let mut message = tc_message(index);
    message.header.parent = INGRESS_FILTERS;
    message
}

/// An interface's index is a positive `int` to the kernel.
fn tc_message(index: u32) -> TcMessage {
    TcMessage::with_index(index.cast_signed())
}

fn qdisc(index: u32) -> TcMessage {
    let mut message = tc_message(index);
    message.header.parent = TcHandle::INGRESS;
    message.header.handle = QDISC_HANDLE;
    message.attributes = vec![TcAttribute::Kind("ingress".to_owned())];
    message
}

/// The action of a filter: to interface `to`.
fn mirred(action: MirredAction, to: u32) -> TcAction {
    let mut mirror = TcMirror::default();
    mirror.ifindex = to;
    (mirror.eaction, mirror.generic.action) = match action {
        MirredAction::Redirect => (TcMirrorActionType::EgressRedir, TcActionType::Stolen),
        // "continue": the next filter is asked.
        MirredAction::Mirror => (TcMirrorActionType::EgressMirror, TcActionType::Unspec),
    };
    let options = TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror));
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
        TcActionAttribute::Options(vec![options]),
    ];
    action
}

fn emitted(attributes: impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

/// The value of the first attribute of this kind.
fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut attributes = NlasIterator::new(attributes).flatten();
    let found = attributes.find(|attribute| attribute.kind() == kind)?;
    Some(found.value().to_vec())
}

fn text(attributes: &[u8], kind: u16) -> Option<String> {
    let mut bytes = attribute(attributes, kind)?;
    bytes.retain(|&byte| byte != 0);
    String::from_utf8(bytes).ok()
}

/// What was to be removed and is not there is removed.
fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        removed => removed,
    }
}
