//! Whose request it is: the peer's, or, behind proxies that are trusted, who they say it is.

use http::{HeaderMap, HeaderName};
use reckon_contract::Cidr;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The right-most address of `X-Forwarded-For` that is no trusted proxy, if the peer is one. Everything left of that
/// address was written by somebody who is not trusted. Where an entry is no address, the proxy that wrote it down counts.
pub fn origin(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> IpAddr {
    let mut nearest = peer;
    let mut forwarded = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|value| {
            let list = value.to_str().unwrap_or("");
            list.rsplit(',')
        });
    while is_in(nearest, trusted) {
        match forwarded.next().and_then(address) {
            Some(address) => nearest = address,
            None => break,
        }
    }
    nearest
}

/// Whether an address is in one of the blocks.
pub fn is_in(address: IpAddr, blocks: &[Cidr]) -> bool {
    blocks.iter().any(|block| block.contains(address))
}

/// An address, with or without brackets and port: proxies write all of these.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(entry);
    let parsed = bare
        .parse()
        .or_else(|_| entry.parse().map(|with_port: SocketAddr| with_port.ip()));
    parsed.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::{X_FORWARDED_FOR, origin};
    use http::{HeaderMap, HeaderValue};

    fn of(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|block| block.parse().unwrap());
        let lines = lines
            .iter()
            .map(|line| (X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap()));
        let mut headers = HeaderMap::new();
        lines.for_each(|(name, value)| {
            headers.append(name, value);
        });
        origin(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_not_trusted() {
        for (peer, lines, client) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            (
                "10.0.0.1",
                &["1.1.1.1, 198.51.100.7 ,10.0.0.2"],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                &["1.1.1.1", "198.51.100.7", "10.0.0.2"],
                "198.51.100.7",
            ),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["198.51.100.7:50123"], "198.51.100.7"),
            ("10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
        ] {
            assert_eq!(of(peer, lines), client, "{peer} {lines:?}");
        }
    }

    #[test]
    fn what_is_no_address_counts_for_the_proxy_that_wrote_it() {
        for lines in [&["unknown"][..], &["1.1.1.1, "], &["1.1.1.1, _x"], &[""]] {
            assert_eq!(of("10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
        assert_eq!(of("10.0.0.1", &["1.1.1.1, evil, 10.0.0.2"]), "10.0.0.2");
    }
}
