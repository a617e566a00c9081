//! Where MySQL and Redis are, and how they are spoken to.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The database, and how many connections it may see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.external) != has(self.provisioned)")
    .message("set exactly one of mysql.external (a database and user that exist) and mysql.provisioned (the operator makes them)"))]
pub struct Mysql {
    /// A database and a user that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalMysql>,
    /// A server on which the operator makes the database and a user with the least rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<ProvisionedMysql>,
    /// Database connections that all pods of this service together never exceed, in rollouts and while scaling either.
    /// Each pod gets (connectionBudget - reservedConnections) / (greatest number of pods + 2).
    #[schemars(range(min = 6, max = 100_000))]
    pub connection_budget: u32,
    /// Connections of the budget that pods do not get: for migrations, provisioning and people. Default 3.
    #[schemars(range(min = 0, max = 1000))]
    #[serde(default = "reserved_connections")]
    pub reserved_connections: u32,
    /// Making tables and indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Migrate>,
}

fn reserved_connections() -> u32 {
    3
}

/// A MySQL or MariaDB database and a user that exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalMysql {
    /// Host name or address of the server.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port of the server. Default 3306.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(default = "mysql_port")]
    pub port: u16,
    /// Name of the database (schema).
    #[schemars(length(min = 1, max = 64))]
    pub database: String,
    /// User that reads the two tables; SELECT is enough.
    pub credentials: Credentials,
    /// Protection of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A MySQL or MariaDB server on which the operator makes database, user and password. Deleting the resource keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.tls) || self.tls.mode != 'VerifyCA'")
    .message("tls.mode: VerifyCA is not available for mysql.provisioned: the connection of the Jobs that provision also trusts public authorities, and any name would do; use VerifyFull"))]
pub struct ProvisionedMysql {
    /// Host name or address of the server; the pods of this namespace must reach it.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port of the server. Default 3306.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(default = "mysql_port")]
    pub port: u16,
    /// Name of the database (schema) that is made.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_]+$"))]
    pub database: String,
    /// Account that may make databases and users; only the Jobs that provision use it.
    pub admin: Credentials,
    /// Protection of the connection; `VerifyCA` is not available here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

pub(crate) fn mysql_port() -> u16 {
    3306
}

/// A Secret with a user name and a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Name of a Secret in the same namespace with the keys `username` and `password`. When it changes, the pods are
    /// replaced one by one.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// Protection of a connection to the database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.caSecretName) || self.mode in ['VerifyCA', 'VerifyFull']")
    .message("tls.caSecretName is only looked at with tls.mode: VerifyCA or VerifyFull; set such a mode, or leave caSecretName out"))]
#[x_kube(validation = Rule::new("self.mode != 'VerifyCA' || has(self.caSecretName)")
    .message("tls.mode: VerifyCA needs caSecretName: anyone can get a certificate from a public authority for some name"))]
pub struct Tls {
    /// How far it goes. `Disabled`: no encryption. `Preferred`: encryption if the server offers it; an active attacker gets the
    /// password. `Required`: encryption always, but no certificate is checked; an active attacker gets the password.
    /// `VerifyCA`: the certificate must come from an authority in `caSecretName`, for any name. `VerifyFull`: the certificate
    /// must come from a trusted authority and name this host. Default Preferred.
    #[serde(default)]
    pub mode: TlsMode,
    /// Name of a Secret in the same namespace whose key `ca.crt` holds the authorities (PEM) that are trusted beside
    /// those of the system.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_name: Option<String>,
}

/// How far the protection of a connection goes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum TlsMode {
    /// No encryption.
    Disabled,
    /// Encryption when the server offers it; no certificate is checked.
    #[default]
    Preferred,
    /// Encryption always; no certificate is checked.
    Required,
    /// Encryption always, with a certificate of a trusted authority, whatever its name.
    VerifyCA,
    /// Encryption always, with a certificate of a trusted authority for this host.
    VerifyFull,
}

/// Making tables and indexes by a Job beside the pods. A database that serves already goes on serving meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Migrate {
    /// Whether the operator makes absent tables and the covering indexes. Absent: true for `provisioned`; false for
    /// `external`, since it changes tables that are not the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// User who may do so. Absent: an own one that `provisioned` makes, the user of `external`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// The cache that the pods share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.external) != has(self.managed)")
    .message("set exactly one of redis.external (a server that exists) and redis.managed (the operator runs one), or leave redis out"))]
pub struct Redis {
    /// A Redis server that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
    /// A Redis server that the operator runs: one pod without a volume, since it is a cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ManagedRedis>,
}

/// A Redis server (6.0 or newer, one master) that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalRedis {
    /// Host name or address of the server.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Port of the server. Default 6379.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(default = "redis_port")]
    pub port: u16,
    /// User and password; an empty `username` is the default user. Absent: no authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// TLS with a checked certificate. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<RedisTls>,
}

fn redis_port() -> u16 {
    6379
}

/// TLS towards Redis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.mode != 'VerifyCA' || has(self.caSecretName)")
    .message("tls.mode: VerifyCA needs caSecretName: anyone can get a certificate from a public authority for some name"))]
pub struct RedisTls {
    /// Whether connections are encrypted and the server's certificate is checked. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What is checked. `VerifyCA`: the certificate must come from an authority in `caSecretName`, for any name. `VerifyFull`:
    /// the certificate must come from a trusted authority and name this host. Default `VerifyFull`.
    #[serde(default)]
    pub mode: RedisTlsMode,
    /// Name of a Secret in the same namespace whose key `ca.crt` holds the authorities (PEM) that are trusted. Absent:
    /// those of the system.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_name: Option<String>,
}

/// What a Redis server's certificate must show.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum RedisTlsMode {
    /// A trusted authority, whatever its name.
    VerifyCA,
    /// A trusted authority and this host's name.
    #[default]
    VerifyFull,
}

fn yes() -> bool {
    true
}

/// A Redis server that the operator runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedRedis {
    /// Memory for entries, as a Kubernetes quantity; the pod gets half as much again and 64 MiB. Default 256Mi.
    #[schemars(
        length(min = 1, max = 32),
        regex(pattern = "^[1-9][0-9]{0,11}(Mi|Gi|M|G)$")
    )]
    #[serde(default = "max_memory")]
    pub max_memory: String,
}

fn max_memory() -> String {
    "256Mi".to_owned()
}
