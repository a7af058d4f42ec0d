//! The decision as a short text.

use std::fmt::Write;
use std::path::Path;

use crate::facts::quantity::display;
use crate::facts::{
    Block, Facts, GuestConfig, Host, Initrd, Kernel, Media, Number, ROOT_DISK, Sourced, State,
    escape,
};
use crate::plan::Plan;
use crate::policy::{Decision, Outcome, RuleId};

/// What was decided and why, what was seen, what would be booted.
pub(super) fn render(facts: &Facts, decision: &Decision) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let value = escape(&value);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<10} {value}");
    };
    line("decision", decision.outcome.name().to_owned());
    line("rule", rule(decision));
    line("reason", decision.reason.to_string());
    line("container", container(facts));
    if let Some(mode) = &facts.mode {
        let value = format!("{:?}", mode.value).to_lowercase();
        line("mode", format!("{value}, by annotation {}", mode.key));
    }
    for origin in &facts.guest_config.evidence {
        line("sign", origin.to_string());
    }
    if let Some(found) = &facts.kernel {
        line("kernel", kernel(found));
    }
    if let Some(found) = &facts.initrd {
        line("initrd", initrd(found));
    }
    for found in root_disk(facts, decision).into_iter().chain(&facts.blocks) {
        line("block", block(found));
    }
    settings(facts, &mut line);
    media(facts, &mut line);
    if let Some(found) = &facts.host {
        line("host", host(found));
    }
    outcome(decision, &mut line);
    out
}

/// The family, memory and vCPUs that are set or seen, and what is wrong with settings.
fn settings(facts: &Facts, line: &mut impl FnMut(&str, String)) {
    let GuestConfig {
        family,
        memory,
        vcpus,
        faults,
        ..
    } = &facts.guest_config;
    if let Some(Sourced { value, origin }) = family {
        line("family", format!("{value}, by {origin}"));
    } else if let Some(traits) = facts.traits() {
        let release = traits.release.iter().map(|release| format!(" {release}"));
        let release: String = release.collect();
        line(
            "family",
            format!("{}{release}, by its kernel", traits.family),
        );
    }
    if let Some(Sourced { value, origin }) = memory {
        line("memory", format!("{}, by {origin}", display(*value)));
    }
    if let Some(Sourced { value, origin }) = vcpus {
        line("vcpus", format!("{value}, by {origin}"));
    }
    for fault in faults {
        line("fault", fault.to_string());
    }
}

/// What would be started.
fn outcome(decision: &Decision, line: &mut impl FnMut(&str, String)) {
    match &decision.outcome {
        Outcome::Unikernel(plan) => {
            line("network", network(plan));
            if let Some(path) = &plan.vsock {
                line("vsock", path.display().to_string());
            }
            line("boots", machine(plan));
        }
        Outcome::Container => line("runs", "in runc, with the caller's command line".to_owned()),
        Outcome::Deny => line("starts", "nothing".to_owned()),
    }
}

fn rule(decision: &Decision) -> String {
    match &decision.rule {
        Some(RuleId { name, file }) => format!("{name}, in {file}"),
        None => "none".to_owned(),
    }
}

fn container(facts: &Facts) -> String {
    let c = &facts.container;
    let mut text = format!("{:?}", c.kind).to_lowercase();
    let parts = [
        (" ", &c.name),
        (" of pod ", &c.pod),
        (" in namespace ", &c.namespace),
        (", image ", &c.image),
    ];
    for (before, value) in parts {
        if let Some(value) = value {
            text += before;
            text += value;
        }
    }
    text
}

/// What the image says of itself, and why other manifests of it were not chosen.
fn media(facts: &Facts, line: &mut impl FnMut(&str, String)) {
    match &facts.media {
        Media::Unasked | Media::None => {}
        Media::Unknown { why } => line("image", format!("unknown: {why}")),
        Media::Unusable { .. } => line("image", "unusable".to_owned()),
        Media::Known(image) => {
            let platform = image.platform.iter().map(ToString::to_string);
            let artifact = image.artifact_type.iter().cloned();
            let parts: Vec<_> = artifact.chain(platform).collect();
            line("image", format!("{}: {}", image.digest, parts.join(", ")));
            for candidate in image
                .candidates
                .iter()
                .filter(|_| image.candidates.len() > 1)
            {
                let platform = candidate.platform.as_ref();
                let platform = platform.map_or("no platform".to_owned(), ToString::to_string);
                line("candidate", format!("{platform}: {}", candidate.verdict));
            }
        }
    }
}

fn host(host: &Host) -> String {
    let kvm = if host.kvm { "KVM" } else { "no KVM" };
    let delegate = match &host.delegate {
        Some(path) => format!("containers by {}", path.display()),
        None => "nobody for containers".to_owned(),
    };
    format!(
        "{}, {kvm}, {} of memory, {delegate}",
        host.architecture,
        display(host.memory)
    )
}

fn kernel(kernel: &Kernel) -> String {
    let (path, origin) = (kernel.path.display(), &kernel.origin);
    match &kernel.state {
        State::Bootable {
            abi,
            architecture,
            compression,
            size,
            ..
        } => {
            let compression = compression.map_or(String::new(), |origin| format!(", {origin}"));
            let size = display(*size);
            format!("{path}, by {origin}: {abi}, {architecture}{compression}, {size}")
        }
        State::Unusable { .. } => format!("{path}, by {origin}: unusable"),
    }
}

fn initrd(initrd: &Initrd) -> String {
    let (path, origin) = (initrd.path.display(), &initrd.origin);
    match initrd.fault {
        None => format!("{path}, by {origin}: {}", display(initrd.size)),
        Some(_) => format!("{path}, by {origin}: unusable"),
    }
}

/// The rootfs's own device, but where the guest has its root elsewhere.
fn root_disk<'a>(facts: &'a Facts, decision: &Decision) -> Option<&'a Block> {
    let plan = decision.outcome.plan();
    let is_used = plan.is_none_or(|plan| plan.root_disk().is_some());
    facts.root_disk.as_ref().filter(|_| is_used)
}

fn block(block: &Block) -> String {
    let (path, origin) = (block.path.display(), &block.origin);
    let own = match &block.number {
        Some(Number { major, minor }) if block.path == Path::new(ROOT_DISK) => {
            format!(", the rootfs's own device {major}:{minor}")
        }
        _ => String::new(),
    };
    match block.fault {
        None => format!("{path}, by {origin}: {}{own}", display(block.size)),
        Some(_) => format!("{path}, by {origin}: unusable"),
    }
}

fn network(plan: &Plan) -> String {
    match plan.net.as_ref().map(|net| &net.ports) {
        None => "none".to_owned(),
        Some(None) => "the pod's".to_owned(),
        Some(Some(ports)) => format!("the pod's, ports {ports}"),
    }
}

fn machine(plan: &Plan) -> String {
    let virtio = plan
        .virtio
        .map(|transport| format!(", virtio by {transport}"));
    let root = if plan.root.is_none() {
        String::new()
    } else {
        format!(", root by {}", plan.root)
    };
    format!(
        "{} by {}, {} of memory, {} vCPU{}{}{root}, command line {:?}",
        plan.kernel.display(),
        plan.abi,
        display(plan.memory),
        plan.vcpus,
        if plan.vcpus == 1 { "" } else { "s" },
        virtio.unwrap_or_default(),
        plan.cmdline
    )
}
