//! Options of `serve`.

use crate::args::database::Database;
use crate::args::shared_cache::SharedCache;
use crate::args::tuning_file::TuningFile;
use crate::args::values::{address, up_to};
use clap::{Args, ValueEnum};
use reckon_contract::{env, network};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), network::HTTP_PORT);
const DEFAULT_OPS_LISTEN: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), network::OPS_PORT);

/// Options of `serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    /// Address and port of the API.
    #[arg(long, env = env::LISTEN, value_parser = address, default_value_t = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
    /// Address and port of probes and metrics.
    #[arg(long, env = env::OPS_LISTEN, value_parser = address, default_value_t = DEFAULT_OPS_LISTEN)]
    pub ops_listen: SocketAddr,
    /// The tuning file.
    #[command(flatten)]
    pub tuning: TuningFile,
    /// File with the API keys of clients, one per line. Changes take effect within two seconds.
    #[arg(long, env = env::API_KEYS, value_name = "FILE")]
    pub api_keys: Option<PathBuf>,
    /// File with the trained model, as `train --output` writes it. Changes take effect within 15 seconds. Unset: the newest model
    /// in the table `reckon_model`.
    #[arg(long, env = env::MODEL, value_name = "FILE")]
    pub model: Option<PathBuf>,
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
    /// The database.
    #[command(flatten)]
    pub database: Database,
    /// The shared cache.
    #[command(flatten)]
    pub shared_cache: SharedCache,
}

/// Whether requests need an API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// `POST` needs a key; reads too, if the tuning file has `auth.reads`.
    On,
    /// No request needs a key.
    Off,
}
