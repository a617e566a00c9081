//! The limits for each client of this process: requests a second, and connections. Memory is bounded and does not
//! depend on the number of clients.

pub(crate) mod client_ip;
mod clients;
mod connections;
mod gcra;

pub use connections::{Connected, TooManyConnections};
pub(crate) use gcra::Gcra;

use clients::{Client, Clients};
use connections::Connections;
use http::HeaderMap;
use reckon_contract::{Cidr, tuning};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Maximum number of clients that are tracked at once: 1.1 MB. A client needs a slot only until its full burst is
/// available again, so far more clients than this may send requests within a second.
const CLIENTS: usize = 65_536;

/// The limits of one process, and the state of its clients.
pub struct RateLimit {
    requests: Option<Requests>,
    connections: Option<Connections>,
    trusted: Vec<Cidr>,
}

struct Requests {
    gcra: Gcra,
    clients: Clients,
    started: Instant,
}

/// A client exceeded its rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// Time until its next request is allowed.
    pub wait: Duration,
    /// Maximum requests in a window.
    pub quota: u64,
    /// Seconds of a window.
    pub window_seconds: u64,
}

impl RateLimit {
    /// The limits of `tuning`, without any client yet.
    #[must_use]
    pub fn new(tuning: &tuning::RateLimit) -> Self {
        let requests = tuning.requests_per_second.map(|rate| Requests {
            gcra: Gcra::new(rate, tuning.burst.unwrap_or(rate)),
            clients: Clients::new(CLIENTS),
            started: Instant::now(),
        });
        Self {
            requests,
            connections: tuning.connections_per_client.map(Connections::new),
            trusted: tuning.trusted_proxies.clone(),
        }
    }

    /// Counts a request that came from `peer` at `now`; a trusted proxy's request that names no client is not counted.
    ///
    /// # Errors
    /// Its client exceeded its rate limit; the request is not counted.
    pub(crate) fn request(
        &self,
        peer: IpAddr,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<(), Exceeded> {
        let Some(requests) = &self.requests else {
            return Ok(());
        };
        let Some(address) = client_ip::client_ip(peer, headers, &self.trusted) else {
            return Ok(());
        };
        let client = Client::of(address);
        let since = now.saturating_duration_since(requests.started);
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let gcra = &requests.gcra;
        let taken = requests
            .clients
            .update(client, |state| gcra.take(state, now));
        taken.map_err(|wait| Exceeded {
            wait,
            quota: gcra.quota(),
            window_seconds: gcra.window_seconds(),
        })
    }

    /// Counts a connection of `peer` until the returned value is dropped; a trusted proxy's connection is not counted.
    ///
    /// # Errors
    /// The client has reached its maximum number of connections.
    pub(crate) fn connection(&self, peer: IpAddr) -> Result<Option<Connected>, TooManyConnections> {
        match &self.connections {
            Some(connections) if !client_ip::is_in(peer, &self.trusted) => {
                connections.open(Client::of(peer)).map(Some)
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Exceeded, RateLimit, TooManyConnections};
    use http::HeaderMap;
    use reckon_contract::tuning;
    use std::net::IpAddr;
    use std::time::{Duration, Instant};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_beyond_its_rate_is_rejected_until_it_has_waited_and_others_are_not() {
        let limit = RateLimit::new(&tuning::RateLimit {
            requests_per_second: Some(1),
            burst: Some(2),
            ..tuning::RateLimit::default()
        });
        let (one, other, now) = (address("192.0.2.1"), address("192.0.2.2"), Instant::now());
        let request = |peer, now| limit.request(peer, &HeaderMap::new(), now);
        assert_eq!((request(one, now), request(one, now)), (Ok(()), Ok(())));
        let refused = Exceeded {
            wait: Duration::from_secs(1),
            quota: 2,
            window_seconds: 2,
        };
        assert_eq!(request(one, now), Err(refused));
        assert_eq!(request(other, now), Ok(()));
        assert_eq!(request(one, now + refused.wait), Ok(()));
    }

    #[test]
    fn connections_are_counted_for_each_client_and_not_for_trusted_proxies() {
        let limit = RateLimit::new(&tuning::RateLimit {
            connections_per_client: Some(1),
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..tuning::RateLimit::default()
        });
        let (client, proxy) = (address("192.0.2.1"), address("10.0.0.1"));
        let connected = limit.connection(client).unwrap();
        assert!(connected.is_some());
        assert_eq!(limit.connection(client).err(), Some(TooManyConnections));
        drop(connected);
        assert!(limit.connection(client).unwrap().is_some());
        for _ in 0..2 {
            assert!(limit.connection(proxy).unwrap().is_none());
        }
    }
}
