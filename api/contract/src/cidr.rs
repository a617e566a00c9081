//! Blocks of IP addresses in the notation of RFC 4632: `10.0.0.0/8`, `2001:db8::/32`.

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

/// Name of the string's `format` in the schema; Kubernetes API servers support it too.
pub(crate) const FORMAT: &str = "cidr";

/// A block of IP addresses. Bits of the address beyond the prefix are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(IpNet);

/// The string is not a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a block of addresses such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct InvalidCidr;

impl Cidr {
    /// Whether `address` is in the block; an IPv4 address is in no IPv6 block.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        text.parse().map(Self).map_err(|_| InvalidCidr)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl TryFrom<String> for Cidr {
    type Error = InvalidCidr;

    fn try_from(text: String) -> Result<Self, InvalidCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(block: Cidr) -> Self {
        block.to_string()
    }
}

impl JsonSchema for Cidr {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": FORMAT})
    }
}

#[cfg(test)]
mod tests {
    use super::Cidr;
    use std::net::IpAddr;

    #[test]
    fn a_block_contains_the_addresses_with_its_prefix() {
        for (block, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.0.2.129/25", "192.0.2.128", "192.0.2.127"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db9::", "1.2.3.4"),
            ("::1/128", "::1", "::2"),
        ] {
            let parsed: Cidr = block.parse().unwrap();
            let contains = |address: &str| parsed.contains(address.parse::<IpAddr>().unwrap());
            assert!(contains(inside), "{inside} in {block}");
            assert!(!contains(outside), "{outside} in {block}");
            assert_eq!(parsed.to_string(), block);
        }
    }

    #[test]
    fn an_invalid_address_block_is_rejected() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0/8",
            "proxy/8",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
