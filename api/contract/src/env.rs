//! Names of the environment variables that the API reads.

/// Host of the MySQL or MariaDB server; if unset, the store is SQLite.
pub const DB_HOST: &str = "DB_HOST";
/// Port of the database server.
pub const DB_PORT: &str = "DB_PORT";
/// Database user.
pub const DB_USER: &str = "DB_USER";
/// Password of the database user.
pub const DB_PASSWORD: &str = "DB_PASSWORD";
/// Name of the database (schema).
pub const DB_NAME: &str = "DB_NAME";
/// TLS towards the database: `disabled`, `preferred`, `required`, `verify-ca` or `verify-full`.
pub const DB_TLS: &str = "DB_TLS";
/// PEM file with certificate authorities that `verify-ca` and `verify-full` trust in addition to those of the system.
pub const DB_TLS_CA: &str = "DB_TLS_CA";
/// Host of the Redis server of the shared cache; if it and [`REDIS_URL`] are unset, there is no shared cache.
pub const REDIS_HOST: &str = "REDIS_HOST";
/// Port of the Redis server.
pub const REDIS_PORT: &str = "REDIS_PORT";
/// Redis user; empty is the default user.
pub const REDIS_USER: &str = "REDIS_USER";
/// Password of the Redis user.
pub const REDIS_PASSWORD: &str = "REDIS_PASSWORD";
/// TLS towards Redis: `disabled`, `verify-ca` or `verify-full`, which has the alias `required`.
pub const REDIS_TLS: &str = "REDIS_TLS";
/// URL of the Redis server instead of host, port, user, password and TLS; takes precedence over [`REDIS_HOST`].
pub const REDIS_URL: &str = "REDIS_URL";
/// PEM file with the certificate authorities that are trusted for Redis.
pub const REDIS_TLS_CA: &str = "REDIS_TLS_CA";
/// Name under which processes share a cache.
pub const IDENTITY: &str = "RECKON_IDENTITY";
/// Number of threads, as in the original service; a tuning file takes precedence.
pub const WORKERS: &str = "WORKERS";
/// Requests in flight, as in the original service; a tuning file takes precedence.
pub const MAX_CONNECTIONS: &str = "MAX_CONNECTIONS";
/// Address and port of the HTTP API.
pub const LISTEN: &str = "RECKON_LISTEN";
/// Address and port of the operations endpoints.
pub const OPS_LISTEN: &str = "RECKON_OPS_LISTEN";
/// Path of the file with the keys that clients authenticate with.
pub const API_KEYS: &str = "RECKON_API_KEYS";
/// `off` disables authentication for mutating routes, as in the original service.
pub const AUTH: &str = "RECKON_AUTH";
/// Path of a file with the trained model; if unset, the model is read from the database.
pub const MODEL: &str = "RECKON_MODEL";
/// Path of the tuning file.
pub const TUNING: &str = "RECKON_TUNING";
/// Names of tables and columns and the type of user ids, as the tuning file has them under `tables` (YAML or JSON). Replaces
/// what the tuning file says.
pub const TABLES: &str = "RECKON_TABLES";
/// Path of the SQLite file.
pub const DATA: &str = "RECKON_DATA";
/// Log filter, as `tracing_subscriber::EnvFilter` reads it.
pub const LOG: &str = "RUST_LOG";
/// The task of `reckon-api provision`: the JSON of [`crate::provisioning::Task`]. The server and its administrator are in
/// [`DB_HOST`], [`DB_PORT`], [`DB_USER`], [`DB_PASSWORD`], [`DB_NAME`], [`DB_TLS`] and [`DB_TLS_CA`].
pub const PROVISION_TASK: &str = "RECKON_PROVISION_TASK";
/// Password of the account that is provisioned.
pub const PROVISION_PASSWORD: &str = "RECKON_PROVISION_PASSWORD";
/// Password that is added to the account's current one.
pub const PROVISION_NEXT_PASSWORD: &str = "RECKON_PROVISION_NEXT_PASSWORD";
/// Password of the account that migrates; if unset, there is no such account.
pub const PROVISION_MIGRATION_PASSWORD: &str = "RECKON_PROVISION_MIGRATION_PASSWORD";
/// Password of the account that trains; if unset, there is no such account.
pub const PROVISION_TRAINING_PASSWORD: &str = "RECKON_PROVISION_TRAINING_PASSWORD";
/// Path of the file that receives the report of `reckon-api provision`: the kubelet's termination message.
pub const TERMINATION_LOG: &str = "RECKON_TERMINATION_LOG";
