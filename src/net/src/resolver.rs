//! resolv.conf(5), as far as a guest can be told it.

use std::net::IpAddr;

/// Whom a guest asks for names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// In the file's order, without those on loopback, which no guest reaches.
    pub nameservers: Vec<IpAddr>,
    /// The domains of the last line `search`, in its order.
    pub search: Vec<String>,
    /// `domain`, or else the first of `search`.
    pub domain: Option<String>,
}

impl Resolver {
    /// Reads the file's text; a line that makes no sense says nothing, as the C library has it.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("nameserver"), Some(address)) => {
                    let address = address.parse().ok();
                    let address = address.filter(|address: &IpAddr| !address.is_loopback());
                    found.nameservers.extend(address);
                }
                (Some("search"), first) => {
                    found.search = first.into_iter().chain(words).map(str::to_owned).collect();
                }
                (Some("domain"), Some(name)) => found.domain = Some(name.to_owned()),
                _ => {}
            }
        }
        found.domain = found.domain.or_else(|| found.search.first().cloned());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_file_is_read() {
        let text = "# made by the kubelet\nsearch default.svc.cluster.local svc.cluster.local\n\
            nameserver 10.96.0.10\nnameserver fd00::a\noptions ndots:5\nnameserver 127.0.0.11\n\
            nameserver ::1\nnameserver nonsense\nnameserver\n";
        let found = Resolver::parse(text);
        let addresses: [IpAddr; 2] = ["10.96.0.10".parse().unwrap(), "fd00::a".parse().unwrap()];
        assert_eq!(found.nameservers, addresses);
        assert_eq!(
            found.search,
            ["default.svc.cluster.local", "svc.cluster.local"]
        );
        assert_eq!(found.domain.as_deref(), Some("default.svc.cluster.local"));
    }

    #[test]
    fn the_last_search_counts_and_a_domain_is_its_own() {
        let found = Resolver::parse("search a b\ndomain c\nsearch d\n");
        assert_eq!(
            (found.search, found.domain),
            (vec!["d".to_owned()], Some("c".to_owned()))
        );
        assert_eq!(Resolver::parse(""), Resolver::default());
    }
}
