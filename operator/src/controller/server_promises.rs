//! Which resources use the same database server, and how many connections they may open there together. Pure.

use super::instance::Instance;
use super::stores::{Service, service_resource};
use crate::crd::mysql_port;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube::runtime::reflector::ObjectRef;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// A database server. Different spellings of its name give equal values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    host: String,
    port: u16,
}

impl Server {
    /// The server that a resource in this namespace refers to.
    #[must_use]
    pub fn new(host: &str, port: u16, namespace: &str) -> Self {
        Self {
            host: canonical(host, namespace),
            port,
        }
    }
}

/// A resource's promise to a server: the maximum number of connections that it opens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Namespace of the resource.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its `mysql.connectionBudget`.
    pub connections: u32,
}

/// Promises by server, for each the greatest first.
pub type Promises = HashMap<Server, Vec<Promise>>;

/// Whether a host is the name of a Service in the resource's namespace, which is a name without a dot.
#[must_use]
pub fn is_service_beside(host: &str) -> bool {
    !host.contains(['.', ':']) && !host.eq_ignore_ascii_case("localhost")
}

/// The promises of resources other than `instance` at its server, the greatest first.
#[must_use]
pub fn neighbours<'a>(
    instance: &Instance,
    services: impl IntoIterator<Item = &'a DynamicObject>,
) -> Vec<Promise> {
    let database = instance.database();
    let own = Server::new(database.host, database.port, &instance.namespace);
    let others = services.into_iter().filter(|service| {
        service.metadata.name.as_deref() != Some(&instance.name)
            || service.metadata.namespace.as_deref() != Some(&instance.namespace)
    });
    let same = others.filter_map(|service| {
        let mysql = Mysql::of(service)?;
        // This cheap comparison excludes most resources.
        (mysql.port == own.port && mysql.server(service) == own).then(|| mysql.promise(service))
    });
    greatest_first(same.collect())
}

/// The promises of all resources.
#[must_use]
pub fn promises(services: &[Arc<DynamicObject>]) -> Promises {
    let mut promises = Promises::new();
    for service in services {
        if let Some(mysql) = Mysql::of(service) {
            let server = promises.entry(mysql.server(service)).or_default();
            server.push(mysql.promise(service));
        }
    }
    for server in promises.values_mut() {
        *server = greatest_first(std::mem::take(server));
    }
    promises
}

/// The resources among `services` that report their server's limit and whose server's promises have changed.
#[must_use]
pub fn touched(before: &Promises, now: &Promises, services: &[Arc<DynamicObject>]) -> Vec<Service> {
    let touched = services.iter().filter(|service| {
        Mysql::of(service).is_some_and(|mysql| {
            let server = mysql.server(service);
            mysql.is_provisioned && before.get(&server) != now.get(&server)
        })
    });
    touched
        .map(|service| ObjectRef::from_obj_with(&**service, service_resource()))
        .collect()
}

/// The fields that are read from a resource that may be invalid.
struct Mysql<'a> {
    host: &'a str,
    port: u16,
    connections: u32,
    is_provisioned: bool,
}

impl<'a> Mysql<'a> {
    fn of(service: &'a DynamicObject) -> Option<Self> {
        let mysql = &service.data["spec"]["mysql"];
        let (external, provisioned) = (&mysql["external"], &mysql["provisioned"]);
        let is_provisioned = provisioned.is_object();
        let at = if is_provisioned {
            provisioned
        } else {
            external
        };
        let port = match &at["port"] {
            Value::Null => mysql_port(),
            port => u16::try_from(port.as_u64()?).ok()?,
        };
        Some(Self {
            host: at["host"].as_str()?,
            port,
            connections: u32::try_from(mysql["connectionBudget"].as_u64()?).ok()?,
            is_provisioned,
        })
    }

    fn server(&self, service: &DynamicObject) -> Server {
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        Server::new(self.host, self.port, namespace)
    }

    fn promise(&self, service: &DynamicObject) -> Promise {
        Promise {
            namespace: service.namespace().unwrap_or_default(),
            name: service.name_any(),
            connections: self.connections,
        }
    }
}

/// Sorts the promises. The order is fixed, because otherwise a status would change for no reason.
fn greatest_first(mut promises: Vec<Promise>) -> Vec<Promise> {
    promises.sort_by(|one, other| {
        let key = |promise: &Promise| Reverse(promise.connections);
        key(one)
            .cmp(&key(other))
            .then_with(|| one.namespace.cmp(&other.namespace))
            .then_with(|| one.name.cmp(&other.name))
    });
    promises
}

/// Lower case, and `service.namespace` for every name of a Service.
fn canonical(host: &str, namespace: &str) -> String {
    let host = host.to_ascii_lowercase();
    if is_service_beside(&host) {
        return format!("{host}.{namespace}");
    }
    let host = host.strip_suffix('.').unwrap_or(&host);
    let service = host
        .strip_suffix(".svc.cluster.local")
        .or_else(|| host.strip_suffix(".svc"));
    service.unwrap_or(host).to_owned()
}

#[cfg(test)]
mod tests;
