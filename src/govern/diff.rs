//! What came out otherwise than a case expects.

use super::cases::Expect;
use crate::policy::Decision;

/// The difference, a line for each field: `-` expected, `+` decided. `None` where the
/// case holds.
pub fn of(expect: &Expect, decision: &Decision) -> Option<String> {
    let rule = decision.rule.as_ref().map_or("none", |rule| &rule.name);
    let reason = decision.reason.to_string();
    let name = decision.outcome.name();
    let is = |wanted: &str, found: &str| wanted == found;
    let has = |wanted: &str, found: &str| found.contains(wanted);
    let fields: [(&str, Option<&str>, &str, fn(&str, &str) -> bool); 3] = [
        ("decision", Some(&expect.decision), name, is),
        ("rule", expect.rule.as_deref(), rule, is),
        ("reason", expect.reason.as_deref(), &reason, has),
    ];
    let mut lines = Vec::new();
    let mut same = true;
    for (field, wanted, found, holds) in fields {
        match wanted {
            Some(wanted) if !holds(wanted, found) => {
                same = false;
                lines.push(format!("  - {field:<9} {wanted}"));
                lines.push(format!("  + {field:<9} {found}"));
            }
            _ => lines.push(format!("    {field:<9} {found}")),
        }
    }
    (!same).then(|| lines.join("\n"))
}
