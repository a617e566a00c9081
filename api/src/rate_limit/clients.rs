//! The rate limit state of clients in a fixed number of slots: memory does not grow with the number of clients.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// The unit that a limit applies to: an IPv4 address, or the /64 of an IPv6 address, since a host may use any address in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    V4(u32),
    V6(u64),
}

impl Client {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                Self::V6(u64::try_from(address.to_bits() >> 64).unwrap_or_default())
            }
        }
    }
}

/// Slots of a set: two cache lines.
const WAYS: usize = 8;

/// A client's slot, identified by a hash. Two clients with the same hash would share a limit, but with 64 bits this
/// practically never happens.
#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u64,
    paid_back: u64,
}

/// The state of each client, in sets of [`WAYS`] slots. A new client takes the slot whose `paid_back` time (see
/// `Gcra::take`) is earliest. Usually this time has passed, so no state is lost.
pub struct Clients {
    sets: Box<[Mutex<[Slot; WAYS]>]>,
    /// `SipHash` with a random key: an attacker cannot choose addresses that fall into one set.
    hasher: RandomState,
}

impl Clients {
    pub fn new(slots: usize) -> Self {
        let sets = (0..slots.div_ceil(WAYS)).map(|_| Mutex::default());
        Self {
            sets: sets.collect(),
            hasher: RandomState::new(),
        }
    }

    /// Updates a client's state (0 for a client without a slot); an error leaves it unchanged.
    pub fn update<E>(
        &self,
        client: Client,
        change: impl FnOnce(u64) -> Result<u64, E>,
    ) -> Result<(), E> {
        let hash = self.hasher.hash_one(client);
        let index = usize::try_from(hash % self.sets.len() as u64).unwrap_or_default();
        // No code panics while it is locked.
        let mut set = self.sets[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = set.iter().position(|slot| slot.hash == hash);
        let before = known.map_or(0, |way| set[way].paid_back);
        let paid_back = change(before)?;
        let first = || {
            let ways = set.iter().enumerate();
            let first = ways.min_by_key(|(_, slot)| slot.paid_back);
            first.map_or(0, |(way, _)| way)
        };
        let way = known.unwrap_or_else(first);
        set[way] = Slot { hash, paid_back };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Clients};
    use std::convert::Infallible;

    fn client(address: &str) -> Client {
        Client::of(address.parse().unwrap())
    }

    fn read(clients: &Clients, client: Client) -> u64 {
        let mut state = 0;
        let _unchanged = clients.update(client, |before| {
            state = before;
            Err(())
        });
        state
    }

    fn write(clients: &Clients, client: Client, state: u64) {
        let Ok(()) = clients.update(client, |_| Ok::<_, Infallible>(state));
    }

    #[test]
    fn an_ipv6_client_is_its_64_bit_prefix() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1:2:3"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("1:2:3:4:5:6:7:8"), Client::V6(0x0001_0002_0003_0004));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
    }

    #[test]
    fn clients_are_distinguished() {
        let clients = Clients::new(65_536);
        for address in 1..=1000 {
            write(&clients, Client::V4(address), address.into());
        }
        for address in 1..=1000 {
            assert_eq!(read(&clients, Client::V4(address)), u64::from(address));
        }
        assert_eq!(read(&clients, Client::V6(1)), 0);
    }

    #[test]
    fn a_million_clients_take_no_more_memory_than_the_first() {
        let clients = Clients::new(super::super::CLIENTS);
        let bytes = size_of_val(&*clients.sets);
        for address in 0..1_000_000 {
            write(&clients, Client::V4(address), 1 + u64::from(address));
        }
        assert_eq!(size_of_val(&*clients.sets), bytes);
        println!("{bytes} bytes for any number of clients");
        assert!(bytes < 1_200_000, "{bytes}");
        // The newest clients still have a slot.
        assert_eq!(read(&clients, Client::V4(999_999)), 1_000_000);
    }

    #[test]
    fn the_client_whose_debt_ends_first_is_replaced() {
        let clients = Clients::new(8);
        for address in 1..=8 {
            write(&clients, Client::V4(address), 100 + u64::from(address));
        }
        write(&clients, Client::V4(9), 200);
        assert_eq!(read(&clients, Client::V4(1)), 0);
        for address in 2..=8 {
            assert_eq!(
                read(&clients, Client::V4(address)),
                100 + u64::from(address)
            );
        }
        assert_eq!(read(&clients, Client::V4(9)), 200);
    }
}
