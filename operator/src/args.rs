//! The command line and environment.

use crate::controller::instance::Defaults;
use crate::images::AllowedImages;
use clap::{ArgAction, Args, Parser, Subcommand};
use std::net::SocketAddr;

/// Runs recommendation services on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "reckon-operator", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch the `RecommendationService`s of a cluster and make them run.
    Run(Box<Run>),
    /// Print the custom resource definition (YAML).
    Crd,
    /// Check whether an operator is active; for `helm test`.
    Check(Where),
}

/// Which namespaces, and which Lease.
#[derive(Clone, Debug, Args)]
pub struct Where {
    /// Namespaces to watch, separated by commas. Unset: all.
    #[arg(
        long,
        env = "RECKON_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub namespaces: Vec<String>,
    /// Name of the Lease; only the operator that holds it acts.
    #[arg(
        long,
        env = "RECKON_LEASE_NAME",
        default_value = "reckon-operator",
        value_name = "NAME"
    )]
    pub lease_name: String,
    /// Namespace of that Lease: the operator's own.
    #[arg(
        long,
        env = "POD_NAMESPACE",
        default_value = "default",
        value_name = "NAME"
    )]
    pub lease_namespace: String,
}

impl Where {
    /// The namespaces with a non-empty name: an empty variable contains none.
    #[must_use]
    pub fn named(&self) -> Vec<String> {
        let names = self.namespaces.iter().map(|name| name.trim());
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Namespaces and Lease.
    #[command(flatten)]
    pub at: Where,
    /// Address and port of probes and metrics.
    #[arg(
        long,
        env = "RECKON_OPS_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDRESS"
    )]
    pub ops_listen: SocketAddr,
    /// Image of the API for resources that name none, and of the Jobs that provision databases.
    #[arg(long, env = "RECKON_API_IMAGE", default_value_t = default_api_image(), value_name = "IMAGE")]
    pub api_image: String,
    /// Image of managed Redis servers; it needs `sh`, `sha256sum`, `cut` and `redis-cli`, as the official one has.
    #[arg(
        long,
        env = "RECKON_REDIS_IMAGE",
        default_value = "redis:7.2.16",
        value_name = "IMAGE"
    )]
    pub redis_image: String,
    /// Patterns of the images that may run, separated by commas. Unset: all. `*` stands for any characters but `/`, `**` for
    /// any characters. An image is compared as it is written: `redis:7.2.16` is not `docker.io/library/redis:7.2.16`, and a
    /// pattern with a tag does not match an image with a digest, because the digest takes precedence.
    #[arg(
        long,
        env = "RECKON_ALLOWED_IMAGES",
        value_delimiter = ',',
        value_name = "PATTERN"
    )]
    pub allowed_images: Vec<String>,
    /// Whether pods state their user, group and `fsGroup`. `false` leaves them to the cluster, as `OpenShift` requires.
    #[arg(
        long,
        env = "RECKON_FIXED_USER_IDS",
        default_value_t = true,
        action = ArgAction::Set,
        value_name = "BOOL"
    )]
    pub fixed_user_ids: bool,
    /// Identity in the Lease: the name of this pod. Unset: a random one.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,
}

impl Run {
    /// The values of these arguments for fields that a resource leaves unset.
    #[must_use]
    pub fn defaults(&self) -> Defaults {
        Defaults {
            api_image: self.api_image.clone(),
            redis_image: self.redis_image.clone(),
            allowed_images: AllowedImages::new(&self.allowed_images),
            fixed_user_ids: self.fixed_user_ids,
            operator_namespace: self.at.lease_namespace.clone(),
        }
    }
}

fn default_api_image() -> String {
    format!("reckon/reckon-api:{}", env!("CARGO_PKG_VERSION"))
}
