//! What holds of a decision whatever the facts and the policy are.

use std::sync::LazyLock;

use decision::explanation::{self, Explanation};
use decision::facts::{Facts, Kind};
use decision::policy::{Decision, Outcome, Policy, PolicyFile, Reason};

/// The most bytes of a reason: it is an error's line, and a line of the log.
const LONGEST_REASON: usize = 4096;

/// The one rule of the default policy that makes a container of what looks like a unikernel.
const CHOSEN: &str = "chosen-container";

pub const DEFAULT: &str = include_str!("../../policy/default.toml");

const EXAMPLES: [&str; 6] = [
    include_str!("../../policy/examples/containers-anyway.toml"),
    include_str!("../../policy/examples/namespace-of-unikernels.toml"),
    include_str!("../../policy/examples/no-unikernels.toml"),
    include_str!("../../policy/examples/one-registry.toml"),
    include_str!("../../policy/examples/pod-limits.toml"),
    include_str!("../../policy/examples/signed-off-media-types.toml"),
];

/// The default policy, and each example before it.
pub static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let default = || PolicyFile::parse("default.toml", DEFAULT).expect("the default");
    let example = |text| PolicyFile::parse("example.toml", text).expect("an example");
    let examples = EXAMPLES.map(|text| Policy::of(vec![example(text), default()]));
    let mut all = vec![Policy::of(vec![default()])];
    all.extend(examples);
    all
});

/// Decides about these facts by the default policy and by each example.
pub fn check_all(facts: &Facts) {
    let decisions = POLICIES.iter().map(|policy| check(policy, facts));
    let decisions: Vec<_> = decisions.inspect(check_reason).collect();
    let default = &decisions[0];
    if passes_over_a_sign(facts, default) {
        let rule = default.rule.as_ref().map(|rule| &*rule.name);
        assert_eq!(rule, Some(CHOSEN), "{facts:?}");
    }
    check_explanation(facts, default);
}

/// Decides, and checks what holds by any policy.
pub fn check(policy: &Policy, facts: &Facts) -> Decision {
    let decision = policy.decide(facts);
    if facts.container.kind == Kind::Sandbox {
        assert!(!policy.needs_media(facts), "a sandbox was looked at");
        assert_eq!(decision.reason, Reason::Sandbox);
        assert!(matches!(decision.outcome, Outcome::Container));
    } else {
        let says_so = decision.rule.is_some();
        let is_denied = matches!(decision.outcome, Outcome::Deny);
        assert!(says_so || is_denied, "{decision:?} by no rule");
    }
    decision
}

/// Whether this makes an ordinary container of what looks like a unikernel.
pub fn passes_over_a_sign(facts: &Facts, decision: &Decision) -> bool {
    let is_container = matches!(decision.outcome, Outcome::Container);
    is_container && facts.has_evidence() && facts.container.kind != Kind::Sandbox
}

/// The reason is one line that can be read.
fn check_reason(decision: &Decision) {
    let reason = decision.reason.to_string();
    assert!(!reason.contains(char::is_control), "{reason:?}");
    assert!(reason.len() <= LONGEST_REASON, "{} bytes", reason.len());
}

/// The explanation says what was decided, and nothing that a terminal would obey.
fn check_explanation(facts: &Facts, decision: &Decision) {
    let explanation = Explanation::of(facts, decision).expect("an explanation");
    assert_eq!(explanation.json["decision"], decision.outcome.name());
    assert_eq!(explanation.json["reason"], decision.reason.to_string());
    let text = &explanation.text;
    let is_obeyed = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(is_obeyed), "{text:?}");
    assert!(text.starts_with("decision "), "{text:?}");
    assert!(!explanation::line("id", decision).contains(char::is_control));
}
