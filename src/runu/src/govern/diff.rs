//! What came out otherwise than a case expects.

use super::cases::Expect;
use decision::policy::Decision;

/// The difference, a line for each field: `-` expected, `+` decided. `None` where the
/// case holds.
pub(super) fn of(expect: &Expect, decision: &Decision) -> Option<String> {
    let rule = decision.rule.as_ref().map_or("none", |rule| &rule.name);
    let reason = decision.reason.to_string();
    let name = decision.outcome.name();
    let wanted_reason = expect.reason.as_deref();
    let lines = [
        line(
            "decision",
            Some(&expect.decision),
            name,
            expect.decision == name,
        ),
        line(
            "rule",
            expect.rule.as_deref(),
            rule,
            expect.rule.as_deref() == Some(rule),
        ),
        line(
            "reason",
            wanted_reason,
            &reason,
            wanted_reason.is_some_and(|part| reason.contains(part)),
        ),
    ];
    let differs = lines.iter().any(Result::is_err);
    let lines = lines.map(|line| line.unwrap_or_else(|difference| difference));
    differs.then(|| lines.join("\n"))
}

/// One field; an error where it is not as wanted.
fn line(field: &str, wanted: Option<&str>, found: &str, holds: bool) -> Result<String, String> {
    match wanted {
        Some(wanted) if !holds => Err(format!("  - {field:<9} {wanted}\n  + {field:<9} {found}")),
        _ => Ok(format!("    {field:<9} {found}")),
    }
}
