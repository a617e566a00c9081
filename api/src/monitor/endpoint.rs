//! An endpoint from the command line: the address of one process, or a name that resolves to several.

use http::Uri;
use reckon_contract::network;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Maximum number of processes.
pub const MAX_PROCESSES: usize = 200;
/// Maximum length of a host name (RFC 1035).
const HOST_CHARACTERS: usize = 253;

/// The endpoint of one process or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: Host,
    port: u16,
    path: String,
    /// Whether each address of the name is a separate process; otherwise they all lead to one process.
    pub is_many: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// One process.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name on the screen: host and port.
    pub name: String,
    /// Its possible addresses; they are tried in this order.
    pub addresses: Vec<SocketAddr>,
    /// Path of the metrics.
    pub path: String,
}

impl Endpoint {
    /// Parses `http://HOST[:PORT][/PATH]`, or the same without the scheme.
    ///
    /// # Errors
    /// The string has another form.
    pub fn process(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected http://HOST[:PORT], for instance {}",
                Self::local()
            )
        };
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = url.parse().map_err(|_| expected())?;
        let authority = uri.authority().ok_or_else(expected)?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return Err(expected());
        }
        let path = match uri.path() {
            "" | "/" => network::METRICS,
            path => path,
        };
        Ok(Self {
            host: host(authority.host()).ok_or_else(expected)?,
            port: port(authority.as_str(), authority.host(), authority.port_u16())
                .ok_or_else(expected)?,
            path: path.to_owned(),
            is_many: false,
        })
    }

    /// Parses `NAME[:PORT]`. Each address of the name is a process.
    ///
    /// # Errors
    /// The string has another form.
    pub fn name(text: &str) -> Result<Self, String> {
        let endpoint = Self::process(text).ok();
        let is_name = |endpoint: &Self| endpoint.lookup().is_some() && !text.contains('/');
        let endpoint = endpoint.filter(is_name).ok_or_else(|| {
            format!(
                "expected NAME:PORT, for instance shop-pods:{}",
                network::OPS_PORT
            )
        })?;
        Ok(Self {
            is_many: true,
            ..endpoint
        })
    }

    /// The operations port of a process on this machine with the default settings.
    #[must_use]
    pub fn local() -> Self {
        Self {
            host: Host::Address(IpAddr::from([127, 0, 0, 1])),
            port: network::OPS_PORT,
            path: network::METRICS.to_owned(),
            is_many: false,
        }
    }

    /// The name and port to look up, unless it is an IP address.
    #[must_use]
    pub fn lookup(&self) -> Option<(&str, u16)> {
        match &self.host {
            Host::Address(_) => None,
            Host::Name(name) => Some((name, self.port)),
        }
    }

    /// The process of an endpoint that needs no look-up.
    #[must_use]
    pub fn target(&self) -> Option<Arc<Target>> {
        match self.host {
            Host::Address(address) => {
                let address = SocketAddr::new(address, self.port);
                Some(self.at(address.to_string(), vec![address]))
            }
            Host::Name(_) => None,
        }
    }

    /// The processes at the resolved addresses, in order of their addresses. For a name of many processes, only the
    /// addresses of one family are used: otherwise a process that has both would count twice.
    #[must_use]
    pub fn targets(&self, mut found: Vec<SocketAddr>) -> Vec<Arc<Target>> {
        found.sort_unstable();
        found.dedup();
        if !self.is_many {
            let name = self.authority();
            return vec![self.at(name, found)];
        }
        if found.iter().any(SocketAddr::is_ipv4) {
            found.retain(SocketAddr::is_ipv4);
        }
        let each = found.into_iter();
        each.map(|address| self.at(address.to_string(), vec![address]))
            .collect()
    }

    fn at(&self, name: String, addresses: Vec<SocketAddr>) -> Arc<Target> {
        Arc::new(Target {
            name,
            addresses,
            path: self.path.clone(),
        })
    }

    fn authority(&self) -> String {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).to_string(),
            Host::Name(name) => format!("{name}:{}", self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_many { "" } else { "http://" };
        write!(f, "{scheme}{}", self.authority())
    }
}

fn host(text: &str) -> Option<Host> {
    if let Some(inside) = text.strip_prefix('[') {
        return inside.strip_suffix(']')?.parse().ok().map(Host::Address);
    }
    if let Ok(address) = text.parse() {
        return Some(Host::Address(address));
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let is_name = (1..=HOST_CHARACTERS).contains(&text.len()) && text.chars().all(is_part);
    is_name.then(|| Host::Name(text.to_owned()))
}

/// The port; by default the operations port.
fn port(authority: &str, host: &str, port: Option<u16>) -> Option<u16> {
    match port {
        Some(port) => (port > 0).then_some(port),
        None => (authority == host).then_some(network::OPS_PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    fn shown(endpoint: Result<Endpoint, String>) -> Result<String, String> {
        endpoint.map(|it| it.to_string() + if it.path == "/metrics" { "" } else { &it.path })
    }

    #[test]
    fn a_process_is_a_url_or_a_host_and_a_port() {
        for (text, expected) in [
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
            ("http://127.0.0.1", "http://127.0.0.1:9464"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("[::1]:9464", "http://[::1]:9464"),
            ("http://[::1]", "http://[::1]:9464"),
            (
                "http://shop.example:80/api/metrics",
                "http://shop.example:80/api/metrics",
            ),
            ("localhost", "http://localhost:9464"),
        ] {
            assert_eq!(
                shown(Endpoint::process(text)).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
        for text in [
            "",
            "http://",
            "https://a",
            "ftp://a",
            "http://a:0",
            "http://a:65536",
            "http://a:x",
            "http://u:p@a",
            "a b",
            "http://[::1",
            "a/b c",
            "http://ä",
            "unix:/x",
            "http://a\u{1b}[31m",
        ] {
            assert!(Endpoint::process(text).is_err(), "{text}");
        }
        let long = "a".repeat(254);
        assert!(Endpoint::process(&long).is_err());
    }

    #[test]
    fn an_address_or_a_url_is_no_name_for_many_processes() {
        assert_eq!(shown(Endpoint::name("pods:1")).as_deref(), Ok("pods:1"));
        for text in [
            "127.0.0.1:1",
            "[::1]:1",
            "http://pods:1",
            "pods:1/metrics",
            "",
        ] {
            assert!(Endpoint::name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_of_one_family_are_one_process_each() {
        let found = ["[::2]:1", "10.0.0.10:1", "10.0.0.9:1", "10.0.0.9:1"];
        let found: Vec<_> = found.iter().map(|it| it.parse().unwrap()).collect();
        let names = |endpoint: Endpoint, found: &[_]| -> Vec<String> {
            let targets = endpoint.targets(found.to_vec());
            targets.iter().map(|it| it.name.clone()).collect()
        };
        let pods = Endpoint::name("pods:1").unwrap();
        assert_eq!(names(pods.clone(), &found), ["10.0.0.9:1", "10.0.0.10:1"]);
        assert_eq!(names(pods, &found[..1]), ["[::2]:1"]);
        assert_eq!(
            names(Endpoint::process("pods:1").unwrap(), &found),
            ["pods:1"]
        );
    }
}
