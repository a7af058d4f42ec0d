//! A filter's label, which says whose it is and what it is for.

use std::fmt;
use std::str::FromStr;

use crate::ports::Ports;

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
    pub made_qdisc: bool,
    /// The owner's; `None`: all.
    pub ports: Option<Ports>,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let qdisc = if self.made_qdisc { "made" } else { "found" };
        write!(f, "{PREFIX} {} {} {qdisc} ", self.owner, self.tap)?;
        match &self.ports {
            Some(ports) => ports.fmt(f),
            None => f.write_str("all"),
        }
    }
}

/// The text is no label of runu's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InvalidLabel;

impl FromStr for Label {
    type Err = InvalidLabel;

    fn from_str(name: &str) -> Result<Self, InvalidLabel> {
        let words: Vec<_> = name.split(' ').collect();
        let [PREFIX, owner, tap, qdisc, ports] = words[..] else {
            return Err(InvalidLabel);
        };
        Ok(Self {
            owner: owner.to_owned(),
            tap: tap.parse().map_err(|_| InvalidLabel)?,
            made_qdisc: qdisc == "made",
            ports: match ports {
                "all" => None,
                list => Some(list.parse().map_err(|_| InvalidLabel)?),
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
        for (made_qdisc, ports) in [(true, None), (false, Some(twelve.join(",")))] {
            let label = Label {
                owner: "0123456789abcdef".to_owned(),
                tap: u32::MAX,
                made_qdisc,
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
            assert_eq!(name.parse::<Label>(), Err(InvalidLabel), "{name}");
        }
    }
}
