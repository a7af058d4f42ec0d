//! The decision as a short story.

use std::fmt::Write;

use crate::facts::quantity::display;
use crate::facts::{Facts, Initrd, Kernel, State};
use crate::plan::Plan;
use crate::policy::{Decision, Outcome};

/// What was decided and why, what was seen, what would be booted.
pub fn render(facts: &Facts, decision: &Decision) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{name:<10} {value}");
    };
    line("decision", decision.outcome.name().to_owned());
    line(
        "rule",
        decision
            .rule
            .clone()
            .unwrap_or_else(|| "none matched".to_owned()),
    );
    line("reason", decision.reason.to_string());
    line("container", container(facts));
    if let Some(mode) = &facts.annotations.mode {
        line(
            "mode",
            format!("{:?}, by {}", mode.value, mode.key).to_lowercase(),
        );
    }
    if let Some(found) = &facts.kernel {
        line("kernel", kernel(found));
    }
    if let Some(found) = &facts.initrd {
        line("initrd", initrd(found));
    }
    match &decision.outcome {
        Outcome::Unikernel(plan) => line("boots", machine(plan)),
        Outcome::Container => line("runs", "in runc, with the caller's command line".to_owned()),
        Outcome::Deny => line("starts", "nothing".to_owned()),
    }
    out
}

fn container(facts: &Facts) -> String {
    let c = &facts.container;
    let mut text = format!("{:?}", c.kind).to_lowercase();
    for (before, value) in [(" ", &c.name), (" of pod ", &c.pod), (", image ", &c.image)] {
        if let Some(value) = value {
            text += before;
            text += value;
        }
    }
    text
}

fn kernel(kernel: &Kernel) -> String {
    let by = format!("{:?}", kernel.source).to_lowercase();
    let path = kernel.path.display();
    match &kernel.state {
        State::Bootable { abi, size, .. } => {
            format!("{path}, by {by}: {abi}, {}", display(*size))
        }
        State::Unusable { .. } => format!("{path}, by {by}: unusable"),
    }
}

fn initrd(initrd: &Initrd) -> String {
    let path = initrd.path.display();
    match initrd.fault {
        None => format!("{path}: {}", display(initrd.size)),
        Some(_) => format!("{path}: unusable"),
    }
}

fn machine(plan: &Plan) -> String {
    format!(
        "{} by {}, {} of memory, {} vCPU, command line {:?}",
        plan.kernel.display(),
        plan.abi,
        display(plan.memory),
        plan.vcpus,
        plan.cmdline
    )
}
