//! The command line and environment: *where* things are. *How* the process runs is its tuning.

use crate::cache::shared;
use crate::import;
use crate::import::header::Mapping;
use crate::monitor;
use crate::monitor::endpoint::{Endpoint, MOST_PROCESSES};
use crate::provision::task;
use crate::store::location::Location;
use crate::store::mysql::{self, Address, FileError, check_authorities};
use anyhow::{Context as _, bail};
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use reckon_contract::{env, network};
use redis::IntoConnectionInfo as _;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
    network::HTTP_PORT,
);
const DEFAULT_OPS_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), network::OPS_PORT);

/// Recommended and new-to-try categories for each user, over HTTP.
#[derive(Debug, Parser)]
#[command(name = "reckon-api", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Of `serve`, which is what happens without a command.
    #[command(flatten)]
    pub serve: Box<Serve>,
}

impl Cli {
    /// What the command line and the environment say; ends the process with a message when they are wrong.
    #[must_use]
    pub fn read() -> Self {
        Self::command()
            .mut_args(without_empty_variable)
            .mut_subcommands(|command| command.mut_args(without_empty_variable))
            .try_get_matches()
            .and_then(|matches| Self::from_arg_matches(&matches))
            .unwrap_or_else(|error| end(&with_variable(error)))
    }
}

/// Ends the process: with one line when a value is wrong, for whoever reads logs; else with what clap says.
fn end(error: &clap::Error) -> ! {
    if !matches!(
        error.kind(),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation
    ) {
        error.exit()
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    eprintln!("{}", lines.join(" "));
    std::process::exit(error.exit_code())
}

fn port(text: &str) -> Result<u16, &'static str> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or("expected a port from 1 to 65535")
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse()
        .map_err(|_| "expected an address and a port like 127.0.0.1:8000")
}

/// What reads an integer from 1 to `most`.
fn up_to(most: u32) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text| {
        let number = text
            .parse()
            .ok()
            .filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| format!("expected an integer from 1 to {most}"))
    }
}

/// A variable that is set to nothing counts as absent: that is how compose files pass on what nobody set.
fn without_empty_variable(argument: Arg) -> Arg {
    let value = argument.get_env().and_then(std::env::var_os);
    if value.is_some_and(|value| value.is_empty()) {
        argument.env(Resettable::Reset)
    } else {
        argument
    }
}

/// Names the variable instead of the option when that is where a wrong value came from.
fn with_variable(mut error: clap::Error) -> clap::Error {
    let is = |kind, text: &str| matches!(error.get(kind), Some(ContextValue::String(known)) if known == text);
    let mut command = Cli::command();
    command.build();
    let variable = command
        .get_arguments()
        .filter(|argument| is(ContextKind::InvalidArg, &argument.to_string()))
        .filter_map(|argument| argument.get_env()?.to_str())
        .find(|name| std::env::var(name).is_ok_and(|value| is(ContextKind::InvalidValue, &value)));
    if let Some(name) = variable {
        let name = ContextValue::String(name.to_owned());
        error.insert(ContextKind::InvalidArg, name);
    }
    error
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default).
    Serve(Box<Serve>),
    /// Create missing tables and the indexes while others use the tables; idempotent.
    Migrate(Database),
    /// Fill empty tables with demo data: users 1 to 4703.
    Demo(Database),
    /// Load searches and purchases from CSV files. If a value is invalid, nothing is written; if interrupted, rerun the same
    /// command to resume.
    Import(Box<Import>),
    /// Show health, traffic, cache hits, latency and connections of one or many API processes, live or as a report.
    ///
    /// Reads `/metrics` of each process, which is on its operations port (9464 by default) and needs no API key. By default that port
    /// is open only to programs on the same machine: see --ops-listen of `serve`. Name each process, not a load balancer:
    /// answers of different processes would be taken for restarts.
    ///
    /// On a terminal: q quits, p pauses, s sorts. If standard output is not a terminal, a report is printed after each interval.
    /// `NO_COLOR` turns colours off.
    Monitor(Monitor),
    /// Create or repair a database and its accounts as the administrator of the server, and write a report to a file; meant
    /// for the program that deploys the API.
    Provision(Box<Provision>),
    /// Print the description of the HTTP API (`OpenAPI`, JSON).
    Openapi,
}

/// How to serve.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Address and port of the API.
    #[arg(long, env = env::LISTEN, value_parser = address, default_value_t = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
    /// Address and port of probes and metrics.
    #[arg(long, env = env::OPS_LISTEN, value_parser = address, default_value_t = DEFAULT_OPS_LISTEN)]
    pub ops_listen: SocketAddr,
    /// YAML file with sizes, limits and deadlines. Unset: the defaults apply.
    #[arg(long, env = env::TUNING)]
    pub tuning: Option<PathBuf>,
    /// File with the API keys of clients, one per line. Changes take effect within two seconds.
    #[arg(long, env = env::API_KEYS, value_name = "FILE")]
    pub api_keys: Option<PathBuf>,
    /// Whether requests need an API key. If no key is configured, `POST` is accepted only on a loopback address, from this machine.
    #[arg(long, env = env::AUTH, value_enum, ignore_case = true, default_value_t = Auth::On)]
    pub auth: Auth,
    /// Create the SQLite file with demo data if it does not exist.
    #[arg(long)]
    pub demo: bool,
    /// Number of threads. Ignored if there is a tuning file.
    #[arg(long, env = env::WORKERS, value_parser = up_to(256))]
    pub workers: Option<u32>,
    /// Maximum number of requests in flight. Ignored if there is a tuning file.
    #[arg(long, env = env::MAX_CONNECTIONS, value_parser = up_to(1_000_000))]
    pub max_connections: Option<u32>,
    /// Where the data is.
    #[command(flatten)]
    pub database: Database,
    /// Where the shared cache is.
    #[command(flatten)]
    pub shared_cache: SharedCache,
}

/// Where the shared cache is.
#[derive(Clone, Debug, Args)]
pub struct SharedCache {
    /// Host of the Redis server in which instances share a cache. Unset: no shared cache.
    #[arg(long, env = env::REDIS_HOST, value_name = "HOST")]
    redis_host: Option<String>,
    /// Port of the Redis server.
    #[arg(long, env = env::REDIS_PORT, value_parser = port, default_value_t = 6379, value_name = "PORT")]
    redis_port: u16,
    /// Redis user. Empty: the default user.
    #[arg(long, env = env::REDIS_USER, default_value = "", value_name = "USER")]
    redis_user: String,
    /// Password of the Redis user. Prefer the variable: other users of the machine can read the options of a process.
    #[arg(long, env = env::REDIS_PASSWORD, default_value = "", hide_env_values = true, hide_default_value = true,
        value_name = "PASSWORD")]
    redis_password: SecretString,
    /// TLS to Redis. With a URL, `rediss` means `verify-full` unless this is `verify-ca`.
    #[arg(long, env = env::REDIS_TLS, value_enum, ignore_case = true, default_value_t = RedisTls::Disabled, value_name = "MODE")]
    redis_tls: RedisTls,
    /// `redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/NUMBER]` instead of the other Redis options; `rediss` is TLS.
    #[arg(long, env = env::REDIS_URL, hide_env_values = true, value_name = "URL")]
    redis_url: Option<SecretString>,
    /// PEM file with the certificate authorities that are trusted for Redis. Unset: those of the system.
    #[arg(long, env = env::REDIS_TLS_CA, required_if_eq("redis_tls", "verify-ca"), value_name = "FILE")]
    redis_tls_ca: Option<PathBuf>,
    /// Name under which instances share a cache. Unset: derived from the address of the database.
    #[arg(long, env = env::IDENTITY, value_name = "NAME")]
    pub identity: Option<String>,
}

impl SharedCache {
    /// The server of the shared cache, if there is to be one.
    ///
    /// # Errors
    /// The URL or the file of authorities is invalid.
    pub fn address(&self) -> anyhow::Result<Option<shared::Address>> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let url = self
            .redis_url
            .as_ref()
            .and_then(|url| given(url.expose_secret()));
        let host = self.redis_host.as_deref().and_then(given);
        let info = match (url, host) {
            (Some(url), _) => url.into_connection_info().ok().with_context(|| {
                format!(
                    "invalid {}: expected redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/NUMBER]",
                    env::REDIS_URL
                )
            })?,
            (None, Some(host)) => self.connection_info(host)?,
            (None, None) => return Ok(None),
        };
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(redis::ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        let server = info.addr().to_string();
        if matches!(
            info.addr(),
            redis::ConnectionAddr::TcpTls { insecure: true, .. }
        ) {
            bail!(
                "{} ends in #insecure, which checks no certificate: leave that out, and set {} to verify-ca if only the \
                 host's name is not in the certificate",
                env::REDIS_URL,
                env::REDIS_TLS
            );
        }
        let info = match &self.redis_tls_ca {
            None => Ok(info),
            Some(_) if !matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. }) => bail!(
                "{} is set, and the connection has no TLS: expected {} to begin with rediss://",
                env::REDIS_TLS_CA,
                env::REDIS_URL
            ),
            Some(path) => {
                let root_cert = std::fs::read(path).with_context(|| {
                    format!("failed to read {} ({})", path.display(), env::REDIS_TLS_CA)
                })?;
                let found = CertificateDer::pem_slice_iter(&root_cert).next();
                if !matches!(found, Some(Ok(_))) {
                    bail!(
                        "there is no certificate in {} ({})",
                        path.display(),
                        env::REDIS_TLS_CA
                    );
                }
                let certificates = redis::TlsCertificates {
                    client_tls: None,
                    root_cert: Some(root_cert),
                };
                let built = redis::Client::build_with_tls(info, certificates);
                built.map(|client| client.get_connection_info().clone())
            }
        };
        // Last: it needs the authorities that are trusted.
        let client = info.and_then(|info| {
            let mut address = info.addr().clone();
            if self.redis_tls == RedisTls::VerifyCa {
                address.set_danger_accept_invalid_hostnames(true);
            }
            redis::Client::open(info.set_addr(address))
        });
        let client = client.with_context(|| format!("invalid settings of Redis at {server}"))?;
        Ok(Some(shared::Address { client, server }))
    }
}

impl SharedCache {
    fn connection_info(&self, host: String) -> anyhow::Result<redis::ConnectionInfo> {
        let port = self.redis_port;
        let address = match self.redis_tls {
            RedisTls::Disabled => redis::ConnectionAddr::Tcp(host, port),
            RedisTls::VerifyCa | RedisTls::VerifyFull => redis::ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        };
        let mut settings = redis::RedisConnectionInfo::default();
        if !self.redis_user.is_empty() {
            settings = settings.set_username(&self.redis_user);
        }
        if !self.redis_password.expose_secret().is_empty() {
            settings = settings.set_password(self.redis_password.expose_secret());
        }
        Ok(address.into_connection_info()?.set_redis_settings(settings))
    }
}

/// Protection of the connection to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RedisTls {
    /// No TLS: passwords and data are sent in clear text.
    Disabled,
    /// TLS. The certificate must come from a trusted authority, for any name.
    VerifyCa,
    /// TLS. The certificate must come from a trusted authority and name the host. Alias: `required`.
    #[value(alias = "required")]
    VerifyFull,
}

/// Whether anybody has to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// `POST` needs a key; reads too, if the tuning file has `auth.reads`.
    On,
    /// No request needs a key.
    Off,
}

/// What to load.
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// CSV file (RFC 4180, UTF-8) for the table `searches`: id, search, `searched_at`, category, SUCCESS, in any order.
    #[arg(long, value_name = "FILE", required_unless_present = "purchases")]
    pub searches: Option<PathBuf>,
    /// CSV file for the table `purchase`: id, `product_name`, `purchased_at`, `product_category`, SUCCESS.
    #[arg(long, value_name = "FILE")]
    pub purchases: Option<PathBuf>,
    /// Header of a column in the file, if it is not the column's name. Can be repeated.
    #[arg(long = "map", value_name = "[TABLE.]COLUMN=HEADER")]
    pub mappings: Vec<Mapping>,
    /// Add to tables that already have rows.
    #[arg(long)]
    pub append: bool,
    /// Where the data goes.
    #[command(flatten)]
    pub database: Database,
    /// The shared cache whose processes are to forget what was there before.
    #[command(flatten)]
    pub shared_cache: SharedCache,
}

impl Import {
    /// The same, with the addresses that it names.
    ///
    /// # Errors
    /// Invalid address of the shared cache.
    pub fn resolve(&self) -> anyhow::Result<import::Import> {
        Ok(import::Import {
            searches: self.searches.clone(),
            purchases: self.purchases.clone(),
            mappings: self.mappings.clone(),
            append: self.append,
            location: self.database.location(),
            shared_cache: self.shared_cache.address()?,
            identity: self.shared_cache.identity.clone(),
        })
    }
}

/// What to watch.
#[derive(Clone, Debug, Args)]
pub struct Monitor {
    /// Address of a process. Without a port: 9464. Without any address and name: the process on this machine.
    #[arg(value_name = "URL", value_parser = Endpoint::process)]
    processes: Vec<Endpoint>,
    /// Name whose every address is a process, such as a headless Service; looked up again at each interval. Can be repeated.
    #[arg(long = "dns", value_name = "NAME:PORT", value_parser = Endpoint::name)]
    names: Vec<Endpoint>,
    /// Time between two samples, 500ms to 1h. A process has as long to answer, but at least 1 s and at most 5 s.
    #[arg(long, value_parser = interval, default_value = "2s", value_name = "TIME")]
    interval: Duration,
    /// Print one report, from two samples one interval apart, and end. Exit status 1 if no process answers.
    #[arg(long)]
    once: bool,
    /// Print JSON: with --once one document, otherwise one line after each interval.
    #[arg(long)]
    json: bool,
}

impl Monitor {
    /// What to watch, and how.
    ///
    /// # Errors
    /// Too many processes.
    pub fn resolve(self) -> anyhow::Result<monitor::Options> {
        let mut endpoints = self.processes;
        endpoints.extend(self.names);
        if endpoints.is_empty() {
            endpoints.push(Endpoint::local());
        }
        if endpoints.len() > MOST_PROCESSES {
            bail!(
                "{} addresses and names: expected at most {MOST_PROCESSES}",
                endpoints.len()
            );
        }
        Ok(monitor::Options {
            endpoints,
            interval: self.interval,
            once: self.once,
            json: self.json,
        })
    }
}

/// Seconds, or a number with one of the units ms, s, m and h.
fn interval(text: &str) -> Result<Duration, &'static str> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = text[..text.len() - unit.len()].parse::<f64>().ok();
    let factor = match unit {
        "ms" => Some(0.001),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let seconds = number.zip(factor).map(|(number, factor)| number * factor);
    let seconds = seconds.filter(|seconds| (0.5..=3600.0).contains(seconds));
    let seconds = seconds.ok_or("expected a time from 500ms to 1h, for instance 2s")?;
    Ok(Duration::from_secs_f64(seconds))
}

/// What to provision. The database user is the server's administrator.
#[derive(Clone, Debug, Args)]
pub struct Provision {
    /// JSON of the step and the resource that it is for.
    #[arg(long, env = env::PROVISION_TASK, value_name = "JSON")]
    pub task: String,
    /// Password of the account that reads; the environment is the better place for it.
    #[arg(long, env = env::PROVISION_PASSWORD, hide_env_values = true, value_name = "PASSWORD")]
    pub password: Option<SecretString>,
    /// Password that this account is to get beside the one it has.
    #[arg(long, env = env::PROVISION_NEXT_PASSWORD, hide_env_values = true, value_name = "PASSWORD")]
    pub next_password: Option<SecretString>,
    /// Password of the account that migrates; without it there is none.
    #[arg(long, env = env::PROVISION_MIGRATION_PASSWORD, hide_env_values = true, value_name = "PASSWORD")]
    pub migration_password: Option<SecretString>,
    /// File that gets the report.
    #[arg(long, env = env::TERMINATION_LOG, default_value = "/dev/termination-log", value_name = "FILE")]
    pub termination_log: PathBuf,
    /// Where the server is.
    #[command(flatten)]
    pub database: Database,
}

impl Provision {
    /// The same, with the address that it names.
    #[must_use]
    pub fn resolve(self) -> task::Provision {
        let Self {
            task,
            password,
            next_password,
            migration_password,
            termination_log,
            database,
        } = self;
        task::Provision {
            task,
            password,
            next_password,
            migration_password,
            termination_log,
            location: database.location(),
        }
    }
}

/// Where the data is.
#[derive(Clone, Debug, Args)]
pub struct Database {
    /// Host of the MySQL or MariaDB server. Unset: a SQLite file is used.
    #[arg(long, env = env::DB_HOST, value_name = "HOST")]
    db_host: Option<String>,
    /// Port of the database server.
    #[arg(long, env = env::DB_PORT, value_parser = port, default_value_t = 3306, value_name = "PORT")]
    db_port: u16,
    /// Database user.
    #[arg(long, env = env::DB_USER, default_value = "root", value_name = "USER")]
    db_user: String,
    /// Password of the database user. Prefer the variable: other users of the machine can read the options of a process.
    #[arg(long, env = env::DB_PASSWORD, default_value = "", hide_env_values = true, hide_default_value = true,
        value_name = "PASSWORD")]
    db_password: SecretString,
    /// Name of the database (schema).
    #[arg(long, env = env::DB_NAME, default_value = "searches", value_name = "NAME")]
    db_name: String,
    /// TLS to the database server. Only `verify-ca` and `verify-full` protect the password from an active attacker.
    #[arg(long, env = env::DB_TLS, default_value = "preferred", value_name = "MODE")]
    db_tls: Tls,
    /// PEM file with certificate authorities that `verify-ca` and `verify-full` trust in addition to those of the system.
    #[arg(long, env = env::DB_TLS_CA, required_if_eq("db_tls", "verify-ca"), value_name = "FILE")]
    db_tls_ca: Option<PathBuf>,
    /// SQLite file. Unset: `reckon/reckon.db` in the user's data directory.
    #[arg(long, env = env::DATA, value_name = "FILE")]
    data: Option<PathBuf>,
}

/// Protection of the connection to the database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    /// No TLS. An eavesdropper reads the data, an active attacker gets the password.
    Disabled,
    /// TLS if the server offers it; no certificate is checked. An active attacker gets the password.
    Preferred,
    /// TLS always; no certificate is checked. An active attacker gets the password.
    Required,
    /// TLS. The certificate must come from a trusted authority, for any name.
    VerifyCa,
    /// TLS. The certificate must come from a trusted authority and name the host.
    VerifyFull,
}

impl From<Tls> for mysql::Tls {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Disabled => Self::Disabled,
            Tls::Preferred => Self::Preferred,
            Tls::Required => Self::Required,
            Tls::VerifyCa => Self::VerifyCa,
            Tls::VerifyFull => Self::VerifyFull,
        }
    }
}

impl Database {
    /// Checks the file of certificate authorities, so that an invalid one fails the start.
    ///
    /// # Errors
    /// A file is named and holds no certificates.
    pub fn check(&self) -> Result<(), FileError> {
        self.db_tls_ca.as_deref().map_or(Ok(()), check_authorities)
    }

    /// The server when a host is given, else the file.
    #[must_use]
    pub fn location(&self) -> Location {
        match self.db_host.as_deref().filter(|host| !host.is_empty()) {
            Some(host) => Location::MySql(Address {
                // Brackets of an IPv6 address belong to URLs.
                host: host.trim_matches(['[', ']']).to_owned(),
                port: self.db_port,
                user: self.db_user.clone(),
                password: self.db_password.clone(),
                database: self.db_name.clone(),
                tls: self.db_tls.into(),
                tls_ca: self.db_tls_ca.clone(),
            }),
            None => Location::Sqlite(self.data.clone().unwrap_or_else(default_file)),
        }
    }
}

/// `reckon/reckon.db` under the user's data directory (XDG Base Directory Specification).
fn default_file() -> PathBuf {
    let directory = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = || {
        std::env::home_dir()
            .unwrap_or_default()
            .join(".local/share")
    };
    directory
        .filter(|directory| directory.is_absolute())
        .unwrap_or_else(home)
        .join("reckon/reckon.db")
}

#[cfg(test)]
mod tests {
    use super::{Cli, Location};
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_host_decides_for_mysql() {
        let location = |arguments: &[&str]| {
            Cli::try_parse_from(arguments)
                .unwrap()
                .serve
                .database
                .location()
        };
        assert!(
            matches!(location(&["reckon-api", "--db-host", "db"]), Location::MySql(address) if address.port == 3306)
        );
        assert!(
            matches!(location(&["reckon-api", "--db-host", "[::1]"]), Location::MySql(address) if address.host == "::1")
        );
        assert!(matches!(
            location(&["reckon-api", "--db-host", "", "--data", "x.db"]),
            Location::Sqlite(_)
        ));
    }

    #[test]
    fn whoever_trusts_an_authority_for_any_name_says_which() {
        for (tls, authorities) in [
            ("--db-tls", "--db-tls-ca"),
            ("--redis-tls", "--redis-tls-ca"),
        ] {
            let without = Cli::try_parse_from(["reckon-api", tls, "verify-ca"]);
            let message = without.unwrap_err().to_string();
            assert!(message.contains(authorities), "{message}");
            let with = ["reckon-api", tls, "verify-ca", authorities, "ca.pem"];
            assert!(Cli::try_parse_from(with).is_ok());
        }
        for name in ["required", "verify-full"] {
            let serve = Cli::try_parse_from(["reckon-api", "--redis-tls", name])
                .unwrap()
                .serve;
            assert_eq!(serve.shared_cache.redis_tls, super::RedisTls::VerifyFull);
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let cli =
            Cli::try_parse_from(["reckon-api", "--db-host", "db", "--db-password", "hunter2"])
                .unwrap();
        assert!(!format!("{cli:?}").contains("hunter2"));
        assert!(!format!("{:?}", cli.serve.database.location()).contains("hunter2"));
    }
}
