//! A filter's label, which says whose it is and what it is for.

use std::fmt;
use std::str::FromStr;

use super::ports::Ports;

/// What all labels begin with.
const PREFIX: &str = "runu";

/// As a text `runu OWNER TAP made|found PORTS`, of a few hundred bytes at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    /// The container's token.
    pub owner: String,
    /// The index of the owner's tap.
    pub tap: u32,
    /// Whether runu made the qdisc too.
    pub made_hook: bool,
    /// The owner's; `None`: all.
    pub ports: Option<Ports>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hook = if self.made_hook { "made" } else { "found" };
        write!(f, "{PREFIX} {} {} {hook} ", self.owner, self.tap)?;
        match &self.ports {
            Some(ports) => ports.fmt(f),
            None => f.write_str("all"),
        }
    }
}

/// It is no label of runu's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoLabel;

impl FromStr for Label {
    type Err = NoLabel;

    fn from_str(name: &str) -> Result<Self, NoLabel> {
        let words: Vec<_> = name.split(' ').collect();
        let [PREFIX, owner, tap, hook, ports] = words[..] else {
            return Err(NoLabel);
        };
        Ok(Self {
            owner: owner.to_owned(),
            tap: tap.parse().map_err(|_| NoLabel)?,
            made_hook: hook == "made",
            ports: match ports {
                "all" => None,
                list => Some(list.parse().map_err(|_| NoLabel)?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read_as_it_is_written() {
        let twelve: Vec<_> = (0..12)
            .map(|n| format!("{}-{}/tcp", 10000 + 2 * n, 10001 + 2 * n))
            .collect();
        for (made_hook, ports) in [(true, None), (false, Some(twelve.join(",")))] {
            let label = Label {
                owner: "0123456789abcdef".to_owned(),
                tap: u32::MAX,
                made_hook,
                ports: ports.map(|list| list.parse().unwrap()),
            };
            let name = label.to_string();
            assert!(name.len() < 256, "{}", name.len());
            assert_eq!(name.parse(), Ok(label));
        }
        for name in [
            "",
            "runu",
            "cil_from_container",
            "runu a b made all",
            "runu a 1 made x",
        ] {
            assert_eq!(name.parse::<Label>(), Err(NoLabel), "{name}");
        }
    }
}
