//! The client IP of a request: the peer's address, or, behind trusted proxies, the address of the client that they name.

use http::{HeaderMap, HeaderName};
use reckon_contract::Cidr;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// If the peer is a trusted proxy, this is the right-most address of `X-Forwarded-For` that is not a trusted proxy. The
/// part left of this address was written by an untrusted client, and is not parsed. If an entry is not an address, the
/// proxy that wrote it counts as the client. `None`: a trusted proxy's own request, which names no client, such as a
/// load balancer's health check.
pub fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> Option<IpAddr> {
    if !is_in(peer, trusted) {
        return Some(peer);
    }
    if !headers.contains_key(X_FORWARDED_FOR) {
        return None;
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut nearest = peer;
    while is_in(nearest, trusted) {
        match entries.next().and_then(address) {
            Some(address) => nearest = address,
            None => break,
        }
    }
    Some(nearest)
}

/// Whether an address is in one of the blocks.
pub fn is_in(address: IpAddr, blocks: &[Cidr]) -> bool {
    blocks.iter().any(|block| block.contains(address))
}

/// An address, with or without brackets and port: proxies write all of these forms.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry.trim_ascii()).ok()?;
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
    use super::{X_FORWARDED_FOR, client_ip, is_in};
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
    use reckon_contract::Cidr;
    use std::net::IpAddr;

    fn trusted() -> [Cidr; 2] {
        ["10.0.0.0/8", "fd00::/8"].map(|block| block.parse().unwrap())
    }

    fn headers(lines: &[impl AsRef<[u8]>]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line.as_ref()).unwrap();
            headers.append(X_FORWARDED_FOR, value);
        }
        headers
    }

    fn of(peer: &str, lines: &[impl AsRef<[u8]>]) -> String {
        let client = client_ip(peer.parse().unwrap(), &headers(lines), &trusted());
        client.map_or("nobody".to_owned(), |address| address.to_string())
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_not_trusted() {
        for (peer, lines, client) in [
            ("192.0.2.1", &[][..], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
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
    fn an_invalid_address_counts_as_the_proxy_that_added_it() {
        for lines in [&["unknown"][..], &["1.1.1.1, "], &["1.1.1.1, _x"], &[""]] {
            assert_eq!(of("10.0.0.1", lines), "10.0.0.1", "{lines:?}");
        }
        assert_eq!(of("10.0.0.1", &["1.1.1.1, evil, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(of("10.0.0.1", &[b"1.1.1.1, 198.51.100.7\xff"]), "10.0.0.1");
    }

    #[test]
    fn text_left_of_the_client_address_is_ignored() {
        for left in [&b"\xff"[..], b"\x80\xfe,", b",,,", b"10.0.0.9", b"\t \"a"] {
            let line = [left, b", 198.51.100.7, 10.0.0.2"].concat();
            assert_eq!(of("10.0.0.1", &[&line]), "198.51.100.7", "{left:?}");
            let lines = [left.to_vec(), b"198.51.100.7".to_vec()];
            assert_eq!(of("10.0.0.1", &lines), "198.51.100.7", "{left:?}");
        }
    }

    #[test]
    fn a_request_of_a_trusted_proxy_itself_has_no_client() {
        assert_eq!(of("10.0.0.1", &[""; 0]), "nobody");
        assert_eq!(of("192.0.2.1", &[""; 0]), "192.0.2.1");
    }

    /// Any bytes that a header may contain.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            Just(b'\t'),
            b' '..=b'~',
            128..=255_u8,
            Just(b','),
            Just(b'.')
        ];
        proptest::collection::vec(byte, 0..40)
    }

    /// An address in a form that proxies write.
    fn written(address: IpAddr, form: u8, port: u16) -> String {
        match (address, form % 4) {
            (IpAddr::V4(address), 1) => format!("{address}:{port}"),
            (IpAddr::V4(address), 2) => format!("::ffff:{address}"),
            (IpAddr::V6(address), 1) => format!("[{address}]:{port}"),
            (IpAddr::V6(address), 2) => format!("[{address}]"),
            (address, 3) => format!(" \t{address} "),
            (address, _) => address.to_string(),
        }
    }

    proptest! {
        #[test]
        fn no_header_can_impersonate_another_client(
            sent in proptest::collection::vec(bytes(), 0..4),
            client in any::<IpAddr>(),
            form in any::<u8>(),
            port in any::<u16>(),
            proxies in proptest::collection::vec(any::<[u8; 3]>(), 0..4),
            on_a_line_of_its_own in any::<bool>(),
        ) {
            let client = client.to_canonical();
            proptest::prop_assume!(!is_in(client, &trusted()));
            let mut appended = vec![written(client, form, port)];
            appended.extend(proxies.iter().map(|[a, b, c]| format!("10.{a}.{b}.{c}")));
            let appended = appended.join(", ").into_bytes();
            let mut lines = sent;
            match lines.pop() {
                Some(last) if !on_a_line_of_its_own => {
                    lines.push([&last[..], b",", &appended].concat());
                }
                last => {
                    lines.extend(last);
                    lines.push(appended);
                }
            }
            let peer = "10.0.0.1".parse().unwrap();
            prop_assert_eq!(client_ip(peer, &headers(&lines), &trusted()), Some(client));
        }

        #[test]
        fn a_peer_that_is_not_trusted_is_the_client_whatever_it_sends(
            sent in proptest::collection::vec(bytes(), 0..4),
            peer in any::<IpAddr>(),
        ) {
            proptest::prop_assume!(!is_in(peer, &trusted()));
            prop_assert_eq!(client_ip(peer, &headers(&sent), &trusted()), Some(peer));
        }
    }
}
