//! The Lua scripts that run inside Redis, each atomically.
//!
//! Each script derives the names of keys itself, from the server's current `master_replid`. That id changes with a
//! restart and with a promotion, but also when a first replica is attached, and some time after the last replica has
//! left. A process that still used the old id would not delete the entries that others read, and would not observe
//! their deletions.

use redis::Script;
use std::sync::LazyLock;

/// KEYS: the prefix of all keys. ARGV of all scripts but the last: the caller's variant first.
const NAMES: &str = r"
    local info = redis.call('INFO', 'replication')
    local is_replica = string.match(info, 'role:(%l+)') == 'slave'
    local root = KEYS[1] .. (string.match(info, 'master_replid:(%w+)') or 'none') .. ':'
    local state = root .. 'state'
    local function entry_of(variant, user) return root .. variant .. ':e:' .. user end
    local function lease_of(variant, user) return root .. variant .. ':l:' .. user end
    local function failed(reply) return type(reply) == 'table' and reply.err end
    -- Whoever invalidates must know of the variant before anybody may fill. A full server gives no lease.
    local function lease(user, token, milliseconds)
        if failed(redis.pcall('HSETNX', state, 'v:' .. ARGV[1], 1)) then return false end
        local key = lease_of(ARGV[1], user)
        redis.pcall('SET', key, token, 'NX', 'PX', milliseconds)
        return redis.call('GET', key)
    end
";

fn script(text: &str) -> Script {
    Script::new(&[NAMES, text].concat())
}

/// Reads entries. If an entry is missing, stale or of another epoch, takes a lease for it, or reads the token of the
/// existing lease.
///
/// ARGV: variant, a new epoch, a new token, the lease's milliseconds, the trained model's tag, then the users. An entry
/// that was computed with another model is stale. Returns the epoch, then for each user the entry or false, its
/// remaining milliseconds, the lease's token or false. Two kinds of servers return nothing: a replica, which may lag
/// behind, and a server that has no epoch and no free memory.
pub static READ: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        if is_replica then return {} end
        local epoch = redis.call('HGET', state, 'epoch')
        if not epoch then
            if failed(redis.pcall('HSET', state, 'epoch', ARGV[2])) then return {} end
            epoch = ARGV[2]
        end
        local answer = {epoch}
        for i = 6, #ARGV do
            local key = entry_of(ARGV[1], ARGV[i])
            local value, left, token, fresh = redis.call('GET', key), 0, false, false
            if value then
                left = redis.call('PTTL', key)
                local stale = tonumber(string.sub(value, 18, 27))
                fresh = string.sub(value, 2, 17) == epoch and stale and left > stale
                    and string.sub(value, 38, 53) == ARGV[5]
            end
            if not fresh then token = lease(ARGV[i], ARGV[3], ARGV[4]) end
            answer[#answer + 1] = value
            answer[#answer + 1] = left
            answer[#answer + 1] = token
        end
        return answer
        ",
    )
});

/// Deletes entries that counted as fresh and could not be decoded, and takes leases to replace them.
///
/// ARGV: variant, a new token, the lease's milliseconds, then the users. Returns each user's token or false.
pub static DISCARD: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        local answer = {}
        for i = 4, #ARGV do
            redis.call('DEL', entry_of(ARGV[1], ARGV[i]))
            answer[#answer + 1] = lease(ARGV[i], ARGV[2], ARGV[3])
        end
        return answer
        ",
    )
});

/// Writes entries whose lease still exists unchanged, while the epoch is still the same.
///
/// ARGV: variant, the epoch that was read, then user, token, milliseconds to live and entry of each. Returns two
/// numbers: written entries, and entries that were rejected because their lease or their epoch was gone. A server
/// without free memory refuses the others.
pub static FILL: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        if redis.call('HGET', state, 'epoch') ~= ARGV[2] then return {0, (#ARGV - 2) / 4} end
        local filled, rejected = 0, 0
        for i = 3, #ARGV, 4 do
            local key = lease_of(ARGV[1], ARGV[i])
            if redis.call('GET', key) == ARGV[i + 1] then
                local entry = entry_of(ARGV[1], ARGV[i])
                if not failed(redis.pcall('SET', entry, ARGV[i + 3], 'PX', ARGV[i + 2])) then
                    redis.call('DEL', key)
                    filled = filled + 1
                end
            else
                rejected = rejected + 1
            end
        end
        return {filled, rejected}
        ",
    )
});

/// Deletes leases and entries of users in every variant, or the epoch when no user is given, and notifies every process.
///
/// The epoch and the variants are one key, so that they are evicted together: a variant that is not listed has no valid
/// entry.
///
/// ARGV: channel, then the users. The message has a line for each user; an empty one means all users.
pub static INVALIDATE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        if is_replica then return redis.error_reply('READONLY this is a replica') end
        if #ARGV == 1 then
            redis.call('DEL', state)
            redis.call('PUBLISH', ARGV[1], '')
            return 1
        end
        for _, field in ipairs(redis.call('HKEYS', state)) do
            local variant = string.match(field, '^v:(.*)')
            for i = 2, variant and #ARGV or 1 do
                redis.call('DEL', lease_of(variant, ARGV[i]), entry_of(variant, ARGV[i]))
            end
        end
        redis.call('PUBLISH', ARGV[1], table.concat(ARGV, '\n', 2))
        return 1
        ",
    )
});

/// Reads positions of followed tables. They are part of the same hash as the epoch, so they are lost together with it.
/// After that, no older entry is valid.
///
/// ARGV: the variant, then the fields. Returns the text of each field, or false if there is none. On a replica, returns
/// nothing.
pub static POSITIONS: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        local answer = {}
        if is_replica then return answer end
        for i = 2, #ARGV do answer[#answer + 1] = redis.call('HGET', state, ARGV[i]) end
        return answer
        ",
    )
});

/// Stores positions of followed tables.
///
/// ARGV: the variant, then field and text of each.
pub static KEEP_POSITIONS: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
        for i = 2, #ARGV, 2 do redis.call('HSET', state, ARGV[i], ARGV[i + 1]) end
        return 1
        ",
    )
});
