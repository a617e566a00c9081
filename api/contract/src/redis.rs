//! The API's use of a Redis server: names of keys and of the channel, and commands.

/// Commands that the shared cache uses, as rules of a Redis ACL.
pub const COMMANDS: &str = "+hello +info +get +set +del +pttl +hget +hset +hsetnx +hkeys +publish +subscribe +evalsha +script|load";

/// Prefix of the names of all keys and of the channel of one service. `identity` is the value of
/// [`IDENTITY`](crate::env::IDENTITY).
#[must_use]
pub fn prefix(identity: &str) -> String {
    format!("{{reckon:{identity}}}:")
}

/// Rules of a Redis ACL user (Redis 6.2 or newer) that can access only one service's keys and channel.
#[must_use]
pub fn acl(identity: &str) -> String {
    let prefix = prefix(identity);
    format!("~{prefix}* &{prefix}* {COMMANDS}")
}
