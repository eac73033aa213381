//! Which connections a toxic may affect, before toxicity decides.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The conditions on a connection; all of them must hold. The default holds for every connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Only each n-th connection of the proxy: numbers n, 2 n, 3 n. At least 1.
    pub every_nth: Option<u64>,
    /// Only the first n connections of the proxy. At least 1.
    pub first_n: Option<u64>,
    /// Only connections with one of these numbers, if there are any. At most [`CONNECTIONS_MAX`].
    pub connections: Vec<u64>,
    /// Only clients with an address in this network.
    pub source: Option<Network>,
    /// Only the first bytes of each direction, counted from the creation of the toxic; later ones pass.
    pub first_bytes: Option<u64>,
}

/// The greatest number of connections in [`Select::connections`].
pub const CONNECTIONS_MAX: usize = 1024;

impl Select {
    /// Whether the conditions hold for a connection with this number. Without an address, such as in a simulation, a
    /// condition on the network does not hold.
    pub fn includes(&self, connection: u64, source: Option<IpAddr>) -> bool {
        self.every_nth
            .is_none_or(|nth| nth > 0 && connection.is_multiple_of(nth))
            && self.first_n.is_none_or(|count| connection <= count)
            && (self.connections.is_empty() || self.connections.contains(&connection))
            && self.source.is_none_or(|network| {
                source.is_some_and(|address| network.contains(address.to_canonical()))
            })
    }
}

/// The addresses that begin with the same bits, in CIDR notation such as `10.0.0.0/8`. An address alone is a network of
/// one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a network such as 10.0.0.0/8 or fd00::/8, or an address")]
pub struct NetworkError;

impl Network {
    /// Whether the address belongs to the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (first, second, bits) = match (self.address, address) {
            (IpAddr::V4(first), IpAddr::V4(second)) => {
                (first.to_bits().into(), second.to_bits().into(), 32)
            }
            (IpAddr::V6(first), IpAddr::V6(second)) => (first.to_bits(), second.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        let different: u128 = first ^ second;
        different
            .checked_shr(bits - u32::from(self.prefix))
            .unwrap_or(0)
            == 0
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_invalid| NetworkError)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_invalid| NetworkError)?,
            None => bits,
        };
        if prefix > bits {
            return Err(NetworkError);
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_with_its_first_bits() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        let all: Network = "0.0.0.0/0".parse().unwrap();
        let one: Network = "::1".parse().unwrap();

        for (address, is_inside) in [("10.1.255.255", true), ("10.2.0.0", false), ("::1", false)] {
            assert_eq!(
                network.contains(address.parse().unwrap()),
                is_inside,
                "{address}"
            );
        }
        assert!(all.contains("255.1.2.3".parse().unwrap()));
        assert!(one.contains("::1".parse().unwrap()) && !one.contains("::2".parse().unwrap()));
        for invalid in ["10.0.0.0/33", "10.0.0/8", "/8", "10.0.0.0/", "::/129"] {
            assert_eq!(invalid.parse::<Network>(), Err(NetworkError), "{invalid}");
        }
    }

    #[test]
    fn all_conditions_must_hold() {
        let select = Select {
            every_nth: Some(2),
            first_n: Some(6),
            connections: vec![1, 2, 4, 6, 8],
            ..Select::default()
        };

        let chosen: Vec<u64> = (1..=10).filter(|id| select.includes(*id, None)).collect();

        assert_eq!(chosen, [2, 4, 6]);
    }

    #[test]
    fn an_address_of_ipv4_in_ipv6_belongs_to_its_network() {
        let select = Select {
            source: Some("127.0.0.0/8".parse().unwrap()),
            ..Select::default()
        };

        assert!(select.includes(1, Some("::ffff:127.0.0.1".parse().unwrap())));
        assert!(!select.includes(1, Some("::1".parse().unwrap())));
        assert!(!select.includes(1, None));
    }
}
