//! KVM: whether there is one, what it can do, and whether it really does.

use std::io;

use serde_json::json;

use super::check::{Check, one_line};
use decision::facts;
use vmm::kvm::{Abilities, Execution, try_out};

/// The version of the KVM API since Linux 2.6.22.
const VERSION: i32 = 12;

/// KVM itself, and where there is one, how it runs instructions.
pub(super) fn checks() -> Vec<Check> {
    match facts::open_kvm() {
        Ok(kvm) => vec![capabilities(&Abilities::of(kvm)), instructions()],
        Err(why) => vec![absent(&why)],
    }
}

fn absent(why: &io::Error) -> Check {
    let cure = match why.kind() {
        io::ErrorKind::NotFound => {
            "load the module kvm-intel or kvm-amd; in a virtual machine, switch nested \
             virtualization on"
        }
        io::ErrorKind::PermissionDenied => "run as root, or as a member of the group kvm",
        _ => "load the module kvm-intel or kvm-amd, and see the kernel's log",
    };
    Check::missing("kvm", format!("/dev/kvm: {why}"), cure)
}

fn capabilities(abilities: &Abilities) -> Check {
    let Abilities {
        version, max_vcpus, ..
    } = abilities;
    let lacks = |needed: bool| {
        let lacking = abilities.capabilities.iter().filter(move |c| !c.has);
        lacking.filter(move |c| c.without.is_none() == needed)
    };
    let required: Vec<_> = lacks(true).map(|c| c.name).collect();
    let wanted: Vec<_> = lacks(false)
        .filter_map(|c| Some(format!("{} ({})", c.name, c.without?)))
        .collect();
    let has: Vec<_> = abilities.names().collect();
    let found = format!("version {version}, at most {max_vcpus} vCPUs for a guest");
    let check = if *version != VERSION {
        let cure = "use a Linux from 2.6.22 on; is /dev/kvm a device made by hand?";
        Check::missing("kvm", found, cure)
    } else if !required.is_empty() {
        let found = format!("{found}, without {}", required.join(", "));
        Check::missing("kvm", found, "use a newer kernel")
    } else if !wanted.is_empty() {
        let found = format!("{found}, without {}", wanted.join(", "));
        Check::limited("kvm", found, "use a newer kernel or processor")
    } else {
        Check::ok("kvm", found)
    };
    check.with(json!({ "version": version, "max_vcpus": max_vcpus, "capabilities": has }))
}

/// Why the trial guest did not run.
#[derive(Debug, thiserror::Error)]
enum TrialError {
    #[error(transparent)]
    Open(#[from] io::Error),
    #[error(transparent)]
    Run(#[from] vmm::Error),
}

fn run_trial_guest() -> Result<Execution, TrialError> {
    Ok(try_out(facts::open_kvm()?)?)
}

/// Two instructions in a machine of their own.
fn instructions() -> Check {
    match run_trial_guest() {
        Ok(Execution::Processor) => Check::ok("guests", "a trial guest ran on the processor")
            .with(json!({ "execution": "processor" })),
        Ok(Execution::Emulated) => Check::limited(
            "guests",
            "KVM emulates instructions here, slowly, and knows none on SSE registers: a guest \
             that has them ends with 132",
            "use a host whose processor has VMX or SVM, or build guests without SSE",
        )
        .with(json!({ "execution": "emulated" })),
        Err(why) => Check::missing(
            "guests",
            one_line(&why),
            "see the kernel's log for what KVM says",
        ),
    }
}
