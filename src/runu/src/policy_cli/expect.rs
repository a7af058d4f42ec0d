//! What a case expects of a decision, and how the decision differs.

use serde::Deserialize;

use decision::policy::Decision;

/// What is expected; what is not named may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// `container`, `unikernel` or `deny`.
    decision: String,
    /// A rule's name.
    rule: Option<String>,
    /// A part of the reason.
    reason: Option<String>,
}

/// One field of a decision.
struct Field<'a> {
    name: &'static str,
    expected: Option<&'a str>,
    found: &'a str,
    holds: bool,
}

impl Expect {
    /// The difference, a line for each field: `-` expected, `+` decided. `None` where the
    /// decision is as expected.
    pub(super) fn diff(&self, decision: &Decision) -> Option<String> {
        let outcome = decision.outcome.name();
        let rule = decision.rule.as_ref().map_or("none", |rule| &rule.name);
        let reason = decision.reason.to_string();
        let expected_rule = self.rule.as_deref();
        let expected_reason = self.reason.as_deref();
        let fields = [
            Field {
                name: "decision",
                expected: Some(&self.decision),
                found: outcome,
                holds: self.decision == outcome,
            },
            Field {
                name: "rule",
                expected: expected_rule,
                found: rule,
                holds: expected_rule.is_none_or(|expected| expected == rule),
            },
            Field {
                name: "reason",
                expected: expected_reason,
                found: &reason,
                holds: expected_reason.is_none_or(|part| reason.contains(part)),
            },
        ];
        let differs = fields.iter().any(|field| !field.holds);
        differs.then(|| fields.each_ref().map(Field::lines).join("\n"))
    }
}

impl Field<'_> {
    fn lines(&self) -> String {
        let Self { name, found, .. } = self;
        match self.expected {
            Some(expected) if !self.holds => {
                format!("  - {name:<9} {expected}\n  + {name:<9} {found}")
            }
            _ => format!("    {name:<9} {found}"),
        }
    }
}
