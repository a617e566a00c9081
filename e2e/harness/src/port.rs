//! Free ports of 127.0.0.1 that stay reserved from the choice to the end of the test.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::installed::cache_directory;

/// Below Linux's ephemeral ports (32768 and up): no outgoing connection can take one between choice and use.
const FIRST: u32 = 21_000;
const COUNT: u32 = 10_000;

/// A port without a listener when it was taken; no other test gets it while this value lives.
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a free port.
    #[must_use]
    pub fn take() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let directory = cache_directory().join("ports");
        fs::create_dir_all(&directory).unwrap();
        (0..COUNT)
            .find_map(|_| {
                // Test processes start far apart, so that they seldom try the same port.
                let turn = NEXT.fetch_add(1, Ordering::Relaxed) + process::id().wrapping_mul(97);
                let number = u16::try_from(FIRST + turn % COUNT).unwrap();
                let lock = File::create(directory.join(number.to_string())).unwrap();
                let free =
                    lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok();
                free.then_some(Self {
                    number,
                    _lock: lock,
                })
            })
            .expect("a free port between 21000 and 31000")
    }

    /// The port's number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}
