//! What runs inside Redis, each in one step.

use redis::Script;
use std::sync::LazyLock;

/// Reads entries and, for those that are absent, aged or of another epoch, takes a lease or learns its token.
///
/// KEYS: epoch, then entry and lease of each user. ARGV: a new epoch, a new token, the lease's milliseconds.
/// Answers the epoch, then for each user the entry or false, its remaining milliseconds, the lease's token or false.
/// A full or read-only server gives no lease, and without an epoch nothing at all.
pub static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local epoch = redis.call('GET', KEYS[1])
        if not epoch then
            local made = redis.pcall('SET', KEYS[1], ARGV[1], 'NX')
            if type(made) == 'table' and made.err then return {} end
            epoch = ARGV[1]
        end
        local answer = {epoch}
        for i = 2, #KEYS, 2 do
            local value, left, token = redis.call('GET', KEYS[i]), 0, false
            local fresh = false
            if value then
                left = redis.call('PTTL', KEYS[i])
                local stale = tonumber(string.sub(value, 18, 27))
                fresh = string.sub(value, 2, 17) == epoch and stale and left > stale
            end
            if not fresh then
                redis.pcall('SET', KEYS[i + 1], ARGV[2], 'NX', 'PX', ARGV[3])
                token = redis.call('GET', KEYS[i + 1])
            end
            answer[#answer + 1] = value
            answer[#answer + 1] = left
            answer[#answer + 1] = token
        end
        return answer
        ",
    )
});

/// Writes entries whose lease is still there and the same, while the epoch is still the same.
///
/// KEYS: epoch, then entry and lease of each user. ARGV: the epoch that was read, then token, milliseconds to live and
/// entry of each user. Answers how many were written.
pub static FILL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        local filled = 0
        for i = 2, #KEYS, 2 do
            local a = (i - 2) / 2 * 3 + 2
            if redis.call('GET', KEYS[i + 1]) == ARGV[a] then
                local done = redis.pcall('SET', KEYS[i], ARGV[a + 2], 'PX', ARGV[a + 1])
                if not (type(done) == 'table' and done.err) then
                    redis.call('DEL', KEYS[i + 1])
                    filled = filled + 1
                end
            end
        end
        return filled
        ",
    )
});

/// Deletes leases and entries of users in every variant, or the epoch when no user is given, and tells every process.
///
/// KEYS: epoch, variants. ARGV: channel, prefix of keys, the caller's variant (counts even if it is not in the set, which
/// may have been evicted), then the users.
pub static INVALIDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if #ARGV == 3 then
            redis.call('DEL', KEYS[1])
            redis.call('PUBLISH', ARGV[1], 'all')
            return 1
        end
        local variants = redis.call('SMEMBERS', KEYS[2])
        variants[#variants + 1] = ARGV[3]
        for _, variant in ipairs(variants) do
            for i = 4, #ARGV do
                local of = ARGV[2] .. variant
                redis.call('DEL', of .. ':l:' .. ARGV[i], of .. ':e:' .. ARGV[i])
            end
        end
        redis.call('PUBLISH', ARGV[1], table.concat(ARGV, ',', 4))
        return 1
        ",
    )
});
