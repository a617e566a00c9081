//! A parsed resource: the wanted state, with every default filled in and every number checked again.

use crate::crd::{
    Auth, Cache, Credentials, MemoryCache, Mysql, NetworkPolicy, Pod, RecommendationService,
    RecommendationServiceSpec, Redis, Service, Tls, TlsMode,
};
use crate::images::AllowedImages;
use crate::tuning::budget::{self, Budget};
use crate::tuning::quantity::Quantity;
use crate::tuning::{Scale, memory, threads};
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use kube::api::DynamicObject;
use reckon_contract::Tuning;
use reckon_contract::tuning::Server;
use std::collections::BTreeMap;
use std::time::Duration;

/// Annotation of a resource: a change of its value replaces all pods, within the budget's rules.
pub const RESTARTED_AT: &str = "reckon.dev/restarted-at";
/// Annotation of a resource: a change of its value rotates the password of the provisioned database user.
pub const ROTATED_AT: &str = "reckon.dev/rotate-password-at";

/// Port of a managed Redis.
pub const REDIS_PORT: u16 = 6379;
/// Pods of a resource that sets neither `replicas` nor `autoscaling`.
const DEFAULT_REPLICAS: u32 = 2;
/// Target CPU use of an autoscaler that still exists but is no longer wanted: it may not be 0.
const DEFAULT_TARGET_CPU_PERCENT: u32 = 70;
/// Request and limit of memory, and request of CPU, of a pod that sets none.
const DEFAULT_MEMORY: &str = "256Mi";
const DEFAULT_CPU: &str = "250m";

/// Values for fields that a resource leaves unset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Image of the API.
    pub api_image: String,
    /// Image of managed Redis servers.
    pub redis_image: String,
    /// Images that may run.
    pub allowed_images: AllowedImages,
    /// Whether pods state their user, group and `fsGroup`.
    pub fixed_user_ids: bool,
    /// Namespace of the operator's pods, which query the API's pods.
    pub operator_namespace: String,
}

/// A parsed resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Value of [`RESTARTED_AT`].
    pub restarted_at: Option<String>,
    /// Value of [`ROTATED_AT`].
    pub rotated_at: Option<String>,
    /// Whether the operator only reports.
    pub paused: bool,
    /// Image of the API.
    pub image: String,
    /// Whether the resource itself chose the image.
    pub image_is_pinned: bool,
    /// Image of a managed Redis.
    pub redis_image: String,
    /// Image that creates and changes a provisioned database: always the operator's own image of the API, whatever the
    /// resource chose, since it gets the administrator's login.
    pub provision_image: String,
    /// Number of pods after clamping, and their share of the connections.
    pub budget: Budget,
    /// Target CPU use, in percent of the request.
    pub target_cpu_percent: u32,
    /// The database.
    pub mysql: Mysql,
    /// The shared cache.
    pub redis: Option<Redis>,
    /// Which clients need a key.
    pub auth: Auth,
    /// The clients' Service.
    pub service: Service,
    /// Which clients may connect.
    pub network_policy: NetworkPolicy,
    /// Settings of the pods; `resources` is always set.
    pub pod: Pod,
    /// The tuning that the pods read.
    pub tuning: Tuning,
    /// Whether pods state their user, group and `fsGroup`.
    pub fixed_user_ids: bool,
    /// Namespace of the operator's pods.
    pub operator_namespace: String,
}

/// Why a resource cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It lacks a field of this version, or a field has another type.
    #[error("the resource cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It lacks a field that the API server always sets.
    #[error("the resource has no {0}")]
    Incomplete(&'static str),
    /// A field has an invalid value.
    #[error("{field} {problem}")]
    Field {
        /// Dotted path below `spec`.
        field: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The budget is too small even for the minimum number of pods.
    #[error("mysql.connectionBudget is too small: {0}")]
    Budget(#[from] budget::Error),
}

/// Suffix of the name of the Secret with the login of the migration account.
pub const MIGRATION_SECRET: &str = "mysql-migration";

/// Keys of a Secret that holds a login.
const LOGIN: [&str; 2] = ["username", "password"];

impl Instance {
    /// Parses an object from a watch.
    ///
    /// # Errors
    /// The resource cannot be run in any cluster; the message names the field.
    pub fn parse(object: &DynamicObject, defaults: &Defaults) -> Result<Self, Error> {
        let service: RecommendationService = serde_json::from_value(serde_json::to_value(object)?)?;
        Self::new(&service, defaults)
    }

    /// Fills in the defaults and checks everything that does not depend on the cluster.
    ///
    /// # Errors
    /// As for [`Instance::parse`].
    pub fn new(service: &RecommendationService, defaults: &Defaults) -> Result<Self, Error> {
        let meta = &service.metadata;
        let spec = &service.spec;
        exactly_one(
            "mysql",
            "external",
            spec.mysql.external.is_some(),
            "provisioned",
            spec.mysql.provisioned.is_some(),
        )?;
        if let Some(redis) = &spec.redis {
            exactly_one(
                "redis",
                "external",
                redis.external.is_some(),
                "managed",
                redis.managed.is_some(),
            )?;
        }
        only_named_authorities(spec)?;
        let budget = budget::budget(
            spec.mysql.connection_budget,
            spec.mysql.reserved_connections,
            scale(spec)?,
        )?;
        let mut pod = spec.pod.clone().unwrap_or_default();
        let resources = resources(pod.resources.take());
        let tuning = tuning(spec, &resources, &budget)?;
        pod.resources = Some(resources);
        Ok(Self {
            name: meta.name.clone().ok_or(Error::Incomplete("name"))?,
            namespace: meta
                .namespace
                .clone()
                .ok_or(Error::Incomplete("namespace"))?,
            uid: meta.uid.clone().ok_or(Error::Incomplete("uid"))?,
            generation: meta.generation.unwrap_or_default(),
            restarted_at: annotation(service, RESTARTED_AT),
            rotated_at: annotation(service, ROTATED_AT),
            paused: spec.paused,
            image: image(spec, defaults)?,
            image_is_pinned: spec.image.is_some(),
            redis_image: defaults.redis_image.clone(),
            provision_image: defaults.api_image.clone(),
            budget,
            target_cpu_percent: spec
                .autoscaling
                .as_ref()
                .map_or(DEFAULT_TARGET_CPU_PERCENT, |autoscaling| {
                    autoscaling.target_cpu_utilization_percentage
                }),
            mysql: spec.mysql.clone(),
            redis: spec.redis.clone(),
            auth: spec.auth.clone().unwrap_or_default(),
            service: spec.service.clone().unwrap_or_default(),
            network_policy: spec.network_policy.clone().unwrap_or_default(),
            pod,
            tuning,
            fixed_user_ids: defaults.fixed_user_ids,
            operator_namespace: defaults.operator_namespace.clone(),
        })
    }

    /// The reference that makes this resource the controller of a child.
    #[must_use]
    pub fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: RecommendationService::api_version(&()).into_owned(),
            kind: RecommendationService::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }

    /// Termination grace period of a pod.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.pod.termination_grace_period_seconds.into())
    }

    /// Address of the database, and its TLS settings.
    #[must_use]
    pub fn database(&self) -> Database<'_> {
        let (external, provisioned) = (&self.mysql.external, &self.mysql.provisioned);
        match (external, provisioned) {
            (Some(external), _) => Database {
                host: &external.host,
                port: external.port,
                name: &external.database,
                tls: external.tls.as_ref(),
            },
            (None, Some(provisioned)) => Database {
                host: &provisioned.host,
                port: provisioned.port,
                name: &provisioned.database,
                tls: provisioned.tls.as_ref(),
            },
            (None, None) => unreachable!("`Instance::new` refuses a resource without either"),
        }
    }

    /// A warning, if the operator sends the administrator's password to a server that it does not verify.
    #[must_use]
    pub fn unverified_server(&self) -> Option<String> {
        let provisioned = self.mysql.provisioned.as_ref()?;
        let mode = provisioned
            .tls
            .as_ref()
            .map_or_else(TlsMode::default, |tls| tls.mode);
        (mode != TlsMode::VerifyFull).then(|| {
            format!(
                "the server is not verified (mysql.provisioned.tls.mode: {mode:?}): an active attacker who answers in the place of {}:{} gets the administrator's password; use VerifyFull",
                provisioned.host, provisioned.port
            )
        })
    }

    /// Name of the Secret with which the API's pods log in to the database.
    #[must_use]
    pub fn database_secret(&self) -> String {
        match &self.mysql.external {
            Some(external) => external.credentials.secret_name.clone(),
            None => self.child("mysql"),
        }
    }

    /// Name of the Secret with the login that creates tables and indexes; `None`: the operator creates none.
    #[must_use]
    pub fn migration_secret(&self) -> Option<String> {
        let migrate = self.mysql.migrate.as_ref();
        let enabled = migrate.and_then(|migrate| migrate.enabled);
        if !enabled.unwrap_or(self.mysql.provisioned.is_some()) {
            return None;
        }
        let own = migrate.and_then(|migrate| migrate.credentials.as_ref());
        Some(match own {
            Some(Credentials { secret_name }) => secret_name.clone(),
            None if self.mysql.provisioned.is_some() => self.child(MIGRATION_SECRET),
            None => self.database_secret(),
        })
    }

    /// Name of the Secret of the account that the operator creates for tables and indexes; `None`: it creates none.
    #[must_use]
    pub fn migration_account_secret(&self) -> Option<String> {
        let migrate = self.mysql.migrate.as_ref();
        let has_own = migrate.is_some_and(|migrate| migrate.credentials.is_some());
        let is_made = self.mysql.provisioned.is_some() && !has_own;
        self.migration_secret().filter(|_| is_made)
    }

    /// Name of the Secret with the clients' keys; `None`: clients need no key.
    #[must_use]
    pub fn keys_secret(&self) -> Option<String> {
        if self.auth.disabled.is_some() {
            return None;
        }
        let own = self.auth.secret_name.clone();
        Some(own.unwrap_or_else(|| self.child("api-keys")))
    }

    /// Name of the Secret with the pods' login to Redis, if they need one.
    #[must_use]
    pub fn redis_secret(&self) -> Option<String> {
        let redis = self.redis.as_ref()?;
        match &redis.external {
            Some(external) => external
                .credentials
                .as_ref()
                .map(|credentials| credentials.secret_name.clone()),
            None => Some(self.child("redis")),
        }
    }

    /// Host and port of the Redis that the pods share; `None`: there is none.
    #[must_use]
    pub fn redis_address(&self) -> Option<(String, u16)> {
        let wanted = self.redis.as_ref()?;
        Some(match &wanted.external {
            Some(external) => (external.host.clone(), external.port),
            None => (self.child("redis"), REDIS_PORT),
        })
    }

    /// Name of a child: the resource's name and `what`.
    #[must_use]
    pub fn child(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// Secrets that the resource refers to and the operator does not create, each with its required keys.
    #[must_use]
    pub fn referenced_secrets(&self) -> BTreeMap<String, Vec<&'static str>> {
        let mut secrets: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        let mut refer = |name: &str, keys: &[&'static str]| {
            let known = secrets.entry(name.to_owned()).or_default();
            for key in keys {
                if !known.contains(key) {
                    known.push(key);
                }
            }
        };
        if let Some(external) = &self.mysql.external {
            refer(&external.credentials.secret_name, &LOGIN);
        }
        if let Some(provisioned) = &self.mysql.provisioned {
            refer(&provisioned.admin.secret_name, &LOGIN);
        }
        if let Some(own) = self
            .mysql
            .migrate
            .as_ref()
            .and_then(|migrate| migrate.credentials.as_ref())
        {
            refer(&own.secret_name, &LOGIN);
        }
        if let Some(authorities) = self
            .database()
            .tls
            .and_then(|tls| tls.ca_secret_name.as_ref())
        {
            refer(authorities, &["ca.crt"]);
        }
        if let Some(external) = self
            .redis
            .as_ref()
            .and_then(|redis| redis.external.as_ref())
        {
            if let Some(credentials) = &external.credentials {
                refer(&credentials.secret_name, &LOGIN);
            }
            if let Some(authorities) = external
                .tls
                .as_ref()
                .and_then(|tls| tls.ca_secret_name.as_ref())
            {
                refer(authorities, &["ca.crt"]);
            }
        }
        if let Some(keys) = &self.auth.secret_name {
            refer(keys, &["api-keys"]);
        }
        secrets
    }
}

/// Address of the database, and its TLS settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Database<'a> {
    /// Host name or address.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Name of the database (schema).
    pub name: &'a str,
    /// TLS settings of the connection.
    pub tls: Option<&'a Tls>,
}

fn annotation(service: &RecommendationService, name: &str) -> Option<String> {
    service.metadata.annotations.as_ref()?.get(name).cloned()
}

fn exactly_one(
    field: &'static str,
    one: &str,
    has_one: bool,
    other: &str,
    has_other: bool,
) -> Result<(), Error> {
    if has_one == has_other {
        let problem = format!("needs exactly one of {one} and {other}");
        return Err(Error::Field { field, problem });
    }
    Ok(())
}

/// Rejects `VerifyCA` beside the system's authorities: it does not compare names, and a process that trusts these
/// authorities accepts a certificate of any of them for the database too.
fn only_named_authorities(spec: &RecommendationServiceSpec) -> Result<(), Error> {
    let verifies_authority =
        |tls: Option<&Tls>| tls.is_some_and(|tls| tls.mode == TlsMode::VerifyCA);
    let provisioned = spec.mysql.provisioned.as_ref();
    if verifies_authority(provisioned.and_then(|mysql| mysql.tls.as_ref())) {
        return Err(Error::Field {
            field: "mysql.provisioned.tls.mode",
            problem: "must not be VerifyCA: use VerifyFull".to_owned(),
        });
    }
    let external = spec.mysql.external.as_ref();
    let redis = spec
        .redis
        .as_ref()
        .and_then(|redis| redis.external.as_ref());
    let trusts_all = redis
        .and_then(|redis| redis.tls.as_ref())
        .is_some_and(|tls| tls.enabled && tls.ca_secret_name.is_none());
    if trusts_all && verifies_authority(external.and_then(|mysql| mysql.tls.as_ref())) {
        return Err(Error::Field {
            field: "redis.external.tls.caSecretName",
            problem: "is needed beside mysql.external.tls.mode: VerifyCA".to_owned(),
        });
    }
    Ok(())
}

/// The image of the API, after checking that every image of the resource is allowed.
fn image(spec: &RecommendationServiceSpec, defaults: &Defaults) -> Result<String, Error> {
    let image = spec.image.as_ref().unwrap_or(&defaults.api_image);
    let redis = spec.redis.as_ref();
    let redis = redis.and_then(|redis| redis.managed.as_ref());
    let redis = redis.map(|_| ("redis.managed", &defaults.redis_image));
    let provisioned = spec.mysql.provisioned.as_ref();
    let provision = provisioned.map(|_| ("mysql.provisioned", &defaults.api_image));
    let images = std::iter::once(("image", image)).chain(redis);
    for (field, image) in images.chain(provision) {
        if !defaults.allowed_images.allow(image) {
            let problem = format!(
                "would run the image {image:?}, which this operator does not allow: use one that matches {} (--allowed-images)",
                defaults.allowed_images
            );
            return Err(Error::Field { field, problem });
        }
    }
    Ok(image.clone())
}

fn scale(spec: &RecommendationServiceSpec) -> Result<Scale, Error> {
    let problem = |field, problem: &str| Error::Field {
        field,
        problem: problem.to_owned(),
    };
    match (spec.replicas, &spec.autoscaling) {
        (Some(_), Some(_)) => Err(problem("replicas", "must not be set beside autoscaling")),
        (Some(0), None) => Err(problem("replicas", "is 0: expected at least 1")),
        (Some(replicas), None) => Ok(Scale::Fixed(replicas)),
        (None, None) => Ok(Scale::Fixed(DEFAULT_REPLICAS)),
        (None, Some(autoscaling)) => {
            let (min, max) = (autoscaling.min_replicas, autoscaling.max_replicas);
            if min == 0 || min > max {
                return Err(problem(
                    "autoscaling.minReplicas",
                    "must be at least 1 and at most autoscaling.maxReplicas",
                ));
            }
            Ok(Scale::Auto { min, max })
        }
    }
}

fn resources(given: Option<ResourceRequirements>) -> ResourceRequirements {
    let mut resources = given.unwrap_or_default();
    let quantity =
        |text: &str| k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.to_owned());
    let mut requests = resources.requests.take().unwrap_or_default();
    let mut limits = resources.limits.take().unwrap_or_default();
    let memory = limits
        .get("memory")
        .or_else(|| requests.get("memory"))
        .cloned()
        .unwrap_or_else(|| quantity(DEFAULT_MEMORY));
    // Request and limit are equal: a pod with guaranteed memory is evicted last.
    limits
        .entry("memory".to_owned())
        .or_insert_with(|| memory.clone());
    requests.entry("memory".to_owned()).or_insert(memory);
    let cpu = limits
        .get("cpu")
        .cloned()
        .unwrap_or_else(|| quantity(DEFAULT_CPU));
    // An autoscaler needs a request to measure against.
    requests.entry("cpu".to_owned()).or_insert(cpu);
    resources.requests = Some(requests);
    resources.limits = Some(limits);
    resources
}

fn tuning(
    spec: &RecommendationServiceSpec,
    resources: &ResourceRequirements,
    budget: &Budget,
) -> Result<Tuning, Error> {
    let Cache {
        memory: memory_cache,
        shared,
        stale_seconds,
    } = spec.cache.clone().unwrap_or(Cache {
        memory: None,
        shared: None,
        stale_seconds: Tuning::default().cache.stale_seconds,
    });
    let MemoryCache {
        percent_of_limit,
        ttl_seconds,
        allow_stale: _,
    } = memory_cache.unwrap_or_default();
    let limit = parse_quantity(
        resources.limits.as_ref(),
        "memory",
        "pod.resources.limits.memory",
    )?;
    let cpu_limit = parse_quantity(resources.limits.as_ref(), "cpu", "pod.resources.limits.cpu")?;
    let cpu_request = parse_quantity(
        resources.requests.as_ref(),
        "cpu",
        "pod.resources.requests.cpu",
    )?;

    let mut tuning = Tuning {
        // Without a version: a new operator must not change the pods of a resource that pins its image.
        written_by: Some("reckon-operator".to_owned()),
        rate_limit: spec.rate_limit.clone(),
        recommendation: spec.recommendation.clone().unwrap_or_default(),
        ..Tuning::default()
    };
    let memory_limit = limit.map_or(0, Quantity::rounded_down);
    tuning.cache.memory.max_bytes = memory::cache_bytes(memory_limit, percent_of_limit);
    let connections = memory::connections(memory_limit, tuning.cache.memory.max_bytes);
    let server = spec.server.clone().unwrap_or_default();
    tuning.server = Server {
        max_connections: Some(server.max_connections.unwrap_or(connections)),
        threads: Some(
            server
                .threads
                .unwrap_or_else(|| threads::threads(cpu_limit, cpu_request)),
        ),
        ..server
    };
    tuning.store.pool_size = budget.pool;
    tuning.store.query_timeout_milliseconds = tuning
        .store
        .query_timeout_milliseconds
        .min(tuning.server.request_timeout_milliseconds);
    tuning.cache.stale_seconds = stale_seconds;
    tuning.cache.memory.ttl_seconds = ttl_seconds;
    if let Some(shared) = shared {
        tuning.cache.shared.ttl_seconds = shared.ttl_seconds;
    }
    tuning.auth.reads = spec.auth.as_ref().is_some_and(|auth| auth.reads);
    Ok(tuning)
}

fn parse_quantity(
    quantities: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
    name: &str,
    field: &'static str,
) -> Result<Option<Quantity>, Error> {
    let Some(quantity) = quantities.and_then(|quantities| quantities.get(name)) else {
        return Ok(None);
    };
    let parsed = quantity.0.parse().map_err(|error| Error::Field {
        field,
        problem: format!("is {:?}: {error}", quantity.0),
    })?;
    Ok(Some(parsed))
}

#[cfg(test)]
mod tests;
