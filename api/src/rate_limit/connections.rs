//! Open connections of each client: at most as many entries as there are connections.

use super::clients::Client;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A client has too many connections open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyConnections;

/// Counts connections by client. Called once for each connection, not for each request.
pub struct Connections {
    most: u32,
    open: Arc<Open>,
}

#[derive(Default)]
struct Open(Mutex<HashMap<Client, u32>>);

impl Open {
    fn lock(&self) -> MutexGuard<'_, HashMap<Client, u32>> {
        // No code panics while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    pub fn new(most: u32) -> Self {
        Self {
            most,
            open: Arc::default(),
        }
    }

    pub fn open(&self, client: Client) -> Result<Connected, TooManyConnections> {
        let mut open = self.open.lock();
        let count = open.entry(client).or_default();
        if *count >= self.most {
            return Err(TooManyConnections);
        }
        *count += 1;
        Ok(Connected {
            client,
            open: Arc::clone(&self.open),
        })
    }
}

/// An open connection; counted until it is dropped.
pub struct Connected {
    client: Client,
    open: Arc<Open>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.open.lock().entry(self.client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Connections};

    #[test]
    fn the_connections_of_a_client_are_limited_and_removed_when_they_end() {
        let connections = Connections::new(2);
        let (one, other) = (Client::V4(1), Client::V4(2));
        let first = connections.open(one).unwrap();
        let second = connections.open(one).unwrap();
        assert!(connections.open(one).is_err());
        let of_other = connections.open(other).unwrap();
        drop(first);
        let third = connections.open(one).unwrap();
        drop((second, third, of_other));
        assert!(connections.open.lock().is_empty());
    }
}
