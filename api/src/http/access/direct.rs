//! Whether a request came directly from a program on this machine, according to its head.
//!
//! A loopback address alone does not prove that. A reverse proxy on this machine forwards requests of every client. A
//! web page that is opened on this machine can send requests (Fetch, "simple requests"). With DNS rebinding, it can
//! even send them to an address that the browser treats as the page's own origin. A proxy that adds no header is not
//! detected.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, header};
use std::net::IpAddr;

/// Headers that proxies add, in their usual spelling.
const OF_PROXIES: [&str; 3] = ["Forwarded", "Via", "X-Real-IP"];

/// The header which shows that the request did not come directly: through a proxy, from a web page, or to a name other
/// than loopback's. `None`: it came directly. The documentation page at `/docs` counts as direct.
pub fn refuted_by<B>(request: &Request<B>) -> Option<&'static str> {
    let headers = request.headers();
    let mut of_proxies = OF_PROXIES.into_iter();
    let is_forwarded = |name: &http::HeaderName| name.as_str().starts_with("x-forwarded-");
    if let Some(name) = of_proxies.find(|name| headers.contains_key(*name)) {
        Some(name)
    } else if headers.keys().any(is_forwarded) {
        Some("X-Forwarded-*")
    } else if !is_sent_to_loopback(request) {
        Some("Host")
    } else if !is_of_own_page(headers) {
        Some("Origin")
    } else if headers
        .get_all("sec-fetch-site")
        .iter()
        .any(|site| site != "same-origin" && site != "none")
    {
        Some("Sec-Fetch-Site")
    } else {
        None
    }
}

/// Whether every host name in the request is one of a loopback address.
fn is_sent_to_loopback<B>(request: &Request<B>) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter();
    let named = hosts.map(|host| authority(host.as_bytes()));
    let target = request.uri().authority().cloned().map(Some);
    named
        .chain(target)
        .all(|authority| authority.is_some_and(|authority| names_loopback(&authority)))
}

fn authority(text: &[u8]) -> Option<Authority> {
    Authority::try_from(text).ok()
}

/// Whether `authority` is only a host name of this machine and possibly a port. A user, or a port that is not a number,
/// is not allowed.
fn names_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host);
    let is_bare = match authority.port() {
        Some(port) => rest.and_then(|rest| rest.strip_prefix(':')) == Some(port.as_str()),
        None => rest == Some(""),
    };
    is_bare && is_loopback(host)
}

fn is_loopback(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        // RFC 6761, section 6.3.
        Err(_) => host
            .rsplit('.')
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("localhost")),
    }
}

/// Whether there is no `Origin`, or it is this server's own, with the host name that the request was sent to.
fn is_of_own_page(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let own = origin.as_bytes().strip_prefix(b"http://");
        own.is_some() && own == host
    })
}

#[cfg(test)]
mod tests {
    use super::refuted_by;
    use http::Request;

    fn sent_to(uri: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let request = Request::post(uri);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        refuted_by(&request.body(()).unwrap())
    }

    #[test]
    fn requests_of_local_programs_are_direct() {
        for headers in [
            &[][..],
            &[("host", "localhost:8000"), ("user-agent", "curl/8")],
            &[("host", "LOCALHOST")],
            &[("host", "reckon.localhost:8000")],
            &[("host", "127.0.0.1:8000")],
            &[("host", "127.8.9.10")],
            &[("host", "[::1]:8000")],
            &[("host", "[::ffff:127.0.0.1]")],
            // The page at /docs, in a browser.
            &[
                ("host", "localhost:8000"),
                ("origin", "http://localhost:8000"),
                ("sec-fetch-site", "same-origin"),
            ],
        ] {
            assert_eq!(sent_to("/warm-cache", headers), None, "{headers:?}");
        }
        assert_eq!(sent_to("http://localhost/warm-cache", &[]), None);
    }

    #[test]
    fn requests_through_a_proxy_or_from_a_web_page_are_not_direct() {
        let here = ("host", "localhost:8000");
        for (headers, by) in [
            (
                &[here, ("x-forwarded-for", "203.0.113.9")][..],
                "X-Forwarded-*",
            ),
            (
                &[here, ("x-forwarded-host", "shop.example")],
                "X-Forwarded-*",
            ),
            (&[here, ("x-forwarded-whatever", "")], "X-Forwarded-*"),
            (&[here, ("forwarded", "for=203.0.113.9")], "Forwarded"),
            (&[here, ("via", "1.1 proxy")], "Via"),
            (&[here, ("x-real-ip", "203.0.113.9")], "X-Real-IP"),
            (&[here, ("origin", "https://evil.example")], "Origin"),
            (&[here, ("origin", "null")], "Origin"),
            (&[here, ("origin", "http://localhost:3000")], "Origin"),
            (&[here, ("origin", "https://localhost:8000")], "Origin"),
            (
                &[
                    here,
                    ("origin", "http://localhost:8000"),
                    ("origin", "https://evil.example"),
                ],
                "Origin",
            ),
            (&[("origin", "http://localhost:8000")], "Origin"),
            (&[here, ("sec-fetch-site", "cross-site")], "Sec-Fetch-Site"),
            (&[here, ("sec-fetch-site", "same-site")], "Sec-Fetch-Site"),
            // DNS rebinding: the browser takes this server for the page's own origin.
            (
                &[
                    ("host", "evil.example:8000"),
                    ("origin", "http://evil.example:8000"),
                    ("sec-fetch-site", "same-origin"),
                ],
                "Host",
            ),
            (&[("host", "localhost.evil.example")], "Host"),
            (&[("host", "notlocalhost")], "Host"),
            (&[("host", "localhost@evil.example")], "Host"),
            (&[("host", "192.0.2.1:8000")], "Host"),
            (&[("host", "0.0.0.0:8000")], "Host"),
            (&[("host", "")], "Host"),
            (&[("host", "localhost:80.evil.example")], "Host"),
            (&[("host", "evil@localhost:8000")], "Host"),
            (&[here, ("host", "evil.example")], "Host"),
        ] {
            assert_eq!(sent_to("/warm-cache", headers), Some(by), "{headers:?}");
        }
        let absolute = sent_to("http://evil.example/warm-cache", &[here]);
        assert_eq!(absolute, Some("Host"));
    }
}
