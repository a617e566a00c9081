//! The addresses of MySQL and Redis, and the protection of the connections.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The database, and the limit on its connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.external) != has(self.provisioned)")
    .message("set exactly one of mysql.external (a database and user that exist) and mysql.provisioned (the operator makes them)"))]
pub struct Mysql {
    /// An existing database and user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalMysql>,
    /// A server on which the operator creates the database and a user with the least privileges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<ProvisionedMysql>,
    /// Upper limit on the database connections of all pods of this service together. It also holds during rollouts and scaling.
    /// Each pod gets (connectionBudget - reservedConnections) / (maximum number of pods + 2 x pods replaced at once).
    #[schemars(range(min = 6, max = 100_000))]
    pub connection_budget: u32,
    /// Connections of the budget that are kept free for migrations, provisioning and administrators. Default 3.
    #[schemars(range(min = 0, max = 1000))]
    #[serde(default = "reserved_connections")]
    pub reserved_connections: u32,
    /// What keeps the pods within the budget. `Auto`: the database server enforces the budget if it limits the pods' account
    /// (`MAX_USER_CONNECTIONS`) to at most the budget; the account of `provisioned` always has such a limit. Otherwise the
    /// operator's plan enforces it: the order of the operator's changes. `Plan`: always the operator's plan. A rollout replaces a
    /// quarter of the pods at a time under the server's limit, and at most `status.tuning.maxSurge` pods under the plan.
    /// Default: `Auto`.
    #[serde(default)]
    pub budget_enforcement: BudgetEnforcement,
    /// Creation of tables and indexes, in a Job. The pods of an existing database continue to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Migrate>,
}

/// What may keep the pods within the budget.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum BudgetEnforcement {
    /// The database server if it can, a plan otherwise.
    #[default]
    Auto,
    /// A plan.
    Plan,
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
    /// User that reads the two tables. It needs the SELECT privilege only.
    pub credentials: Credentials,
    /// TLS of the connection.
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
    /// Name of the database (schema) to create.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_]+$"))]
    pub database: String,
    /// Administrator account that may create databases and users. Only provisioning Jobs use it.
    pub admin: Credentials,
    /// TLS of the connection. `VerifyCA` is not available here.
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
    /// Name of a Secret in the same namespace with the keys `username` and `password`. When it changes, the pods that
    /// use it are replaced one by one.
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
    /// TLS mode. `Disabled`: no encryption. `Preferred`: encrypted if the server supports it; an active attacker can obtain the
    /// password. `Required`: always encrypted, but the certificate is not verified; an active attacker can obtain the password.
    /// `VerifyCA`: the certificate must be issued by an authority in `caSecretName`, for any name. `VerifyFull`: the
    /// certificate must be issued by a trusted authority for this host name. Default: `Preferred`.
    #[serde(default)]
    pub mode: TlsMode,
    /// Name of a Secret in the same namespace. Its key `ca.crt` holds certificate authorities (PEM) that are trusted in
    /// addition to those of the system.
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

/// The Job that creates tables and indexes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Migrate {
    /// Whether the operator creates missing tables and the covering indexes. Default: true for `provisioned`; false for
    /// `external`, since it would change tables that it does not own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Login of this Job. Default: with `provisioned`, a separate account that the operator creates; with `external`, its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// The cache that the pods share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.external) != has(self.managed)")
    .message("set exactly one of redis.external (a server that exists) and redis.managed (the operator runs one), or leave redis out"))]
pub struct Redis {
    /// An existing Redis server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalRedis>,
    /// A Redis server run by the operator: one pod without a volume, since it holds a cache only.
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
    /// User and password. An empty `username` means the default user. Default: no authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// TLS with certificate verification. Default: no TLS.
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
    /// Whether connections use TLS and verify the server's certificate. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Certificate verification. `VerifyCA`: the certificate must be issued by an authority in `caSecretName`, for any name.
    /// `VerifyFull`: it must be issued by a trusted authority for this host name. Default `VerifyFull`.
    #[serde(default)]
    pub mode: RedisTlsMode,
    /// Name of a Secret in the same namespace. Its key `ca.crt` holds the trusted certificate authorities (PEM). Default: those
    /// of the system.
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
    /// Memory for entries, as a Kubernetes quantity. The pod's memory limit is 1.5 times this plus 64 MiB. Default 256Mi.
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
