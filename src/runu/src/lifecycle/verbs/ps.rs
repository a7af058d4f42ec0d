//! `ps`: a unikernel has one process, its monitor.

use std::process::Command;

use crate::cli::Format;
use crate::exit;
use crate::lifecycle::error::Error;
use crate::lifecycle::unikernel::Unikernel;
use crate::lifecycle::verbs::error::PsError;

/// Prints the monitor's pid, as a JSON array or as ps(1) shows it.
///
/// # Errors
/// When the format is none, or ps(1) cannot be run or prints no column of pids.
pub(in crate::lifecycle) fn ps(
    unikernel: &Unikernel,
    format: Format,
    args: &[String],
) -> Result<(), Error> {
    let pids: Vec<i32> = unikernel.process().map(|p| p.pid).into_iter().collect();
    match format {
        Format::Json => {
            exit::say(&serde_json::to_string(&pids).expect("numbers are always JSON"));
            Ok(())
        }
        Format::Unknown => Err(Error::Format),
        Format::Table => table(&pids, args).map_err(|e| Error::verb("ps", unikernel.id(), e)),
    }
}

/// The rows of ps(1) that show one of `pids`; runc's default arguments are `-ef`.
fn table(pids: &[i32], args: &[String]) -> Result<(), PsError> {
    let default = ["-ef".to_owned()];
    let args = if args.is_empty() { &default } else { args };
    let output = Command::new("ps")
        .args(args)
        .output()
        .map_err(PsError::Run)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let column = head
        .split_whitespace()
        .position(|title| title == "PID")
        .ok_or(PsError::NoPidColumn)?;
    exit::say(head);
    for line in lines {
        let pid = line
            .split_whitespace()
            .nth(column)
            .and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            exit::say(line);
        }
    }
    Ok(())
}
