//! Which of a pod's ports are a guest's, where several share the pod's address.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most ranges of ports: the kernel asks for one after the other.
const MAX: usize = 12;

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// Ports of one protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    protocol: Protocol,
    ports: RangeInclusive<u16>,
}

/// Ports as `80/tcp,53/udp,49152-65535/udp`: at least one, 12 ranges at most, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports(Vec<Range>);

/// Why a text names no ports: the end of a sentence that begins with the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortsError {
    /// It is not of the form that [`Ports`] has.
    #[error("is no list of ports: write such as 80/tcp,53/udp,49152-65535/udp")]
    Syntax,
    /// It has so many ranges, more than 12.
    #[error("has {0} ranges of ports: {MAX} are the most")]
    TooMany(usize),
    /// Two of its ranges overlap.
    #[error("names ports twice: leave one")]
    Overlap,
}

impl Ports {
    /// Whether there is a port in both.
    pub fn overlap(&self, other: &Self) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.overlaps(b)))
    }

    /// The ranges of one protocol, in the list's order.
    pub fn ranges(&self, protocol: Protocol) -> impl Iterator<Item = RangeInclusive<u16>> {
        let ranges = self.0.iter();
        let ranges = ranges.filter(move |range| range.protocol == protocol);
        ranges.map(|range| range.ports.clone())
    }
}

impl Range {
    fn overlaps(&self, other: &Self) -> bool {
        let (a, b) = (&self.ports, &other.ports);
        self.protocol == other.protocol && a.start() <= b.end() && b.start() <= a.end()
    }
}

impl Protocol {
    /// The protocol's number in an IP header (IANA, "Protocol Numbers").
    pub fn number(self) -> u32 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    fn from_str(text: &str) -> Result<Self, PortsError> {
        let ranges = text.split(',').map(|word| range(word.trim()));
        let ranges: Vec<Range> = ranges.collect::<Option<_>>().ok_or(PortsError::Syntax)?;
        if ranges.len() > MAX {
            return Err(PortsError::TooMany(ranges.len()));
        }
        let is_again = |(i, range): (usize, &Range)| ranges[..i].iter().any(|r| r.overlaps(range));
        match ranges.iter().enumerate().any(is_again) {
            true => Err(PortsError::Overlap),
            false => Ok(Self(ranges)),
        }
    }
}

fn range(word: &str) -> Option<Range> {
    let (ports, protocol) = word.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let ports = first.parse().ok()?..=last.parse().ok()?;
    let is_right = *ports.start() > 0 && !ports.is_empty();
    is_right.then_some(Range { protocol, ports })
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Range { protocol, ports }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", ports.start())?;
            if ports.start() != ports.end() {
                write!(f, "-{}", ports.end())?;
            }
            f.write_str(match protocol {
                Protocol::Tcp => "/tcp",
                Protocol::Udp => "/udp",
            })?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Ports {
    type Error = PortsError;
    fn try_from(text: String) -> Result<Self, PortsError> {
        text.parse()
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> Self {
        ports.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Result<Ports, PortsError> {
        text.parse()
    }

    #[test]
    fn a_list_is_read_as_it_is_written() {
        for (text, shown) in [
            ("80/tcp", "80/tcp"),
            ("80/tcp, 53/udp", "80/tcp,53/udp"),
            ("80/tcp,80/udp,1-79/tcp", "80/tcp,80/udp,1-79/tcp"),
            ("49152-65535/udp", "49152-65535/udp"),
            ("7-7/tcp", "7/tcp"),
        ] {
            assert_eq!(ports(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            "80",
            "80/sctp",
            "0/tcp",
            "9-8/tcp",
            "65536/tcp",
            "1/tcp,",
            "-1/tcp",
        ] {
            assert_eq!(ports(text), Err(PortsError::Syntax), "{text:?}");
        }
        assert_eq!(ports("80/tcp,70-90/tcp"), Err(PortsError::Overlap));
        let many: Vec<_> = (1..=13).map(|n| format!("{n}/tcp")).collect();
        assert_eq!(ports(&many.join(",")), Err(PortsError::TooMany(13)));
    }

    #[test]
    fn ports_overlap_within_one_protocol() {
        let some = ports("80/tcp,1000-2000/udp").unwrap();
        for (text, overlaps) in [
            ("80/udp", false),
            ("70-79/tcp,81/tcp", false),
            ("2000/udp", true),
            ("1-65535/tcp", true),
        ] {
            assert_eq!(some.overlap(&ports(text).unwrap()), overlaps, "{text}");
        }
    }
}
