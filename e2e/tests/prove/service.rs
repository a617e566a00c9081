//! The service that a scenario needs: its pods, its budget, its account, and the manifest of it.

use super::database::{ACCOUNT, Database, PASSWORD, PROVISIONED};
use super::subject::{Mode, NAME};
use serde_json::{Value, json};

/// Number of pods of the service.
#[derive(Clone, Copy, Debug)]
pub enum Pods {
    /// `spec.replicas`.
    Fixed(u32),
    /// `spec.autoscaling`: minimum and maximum.
    Between(u32, u32),
}

impl Pods {
    /// The number at first.
    pub fn least(self) -> u32 {
        match self {
            Self::Fixed(number) | Self::Between(number, _) => number,
        }
    }
}

/// What else the service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An account that exists, and no caches, so that each request needs a connection.
    Bare,
    /// The same with the operator's account.
    Provisioned,
    /// An account that exists, caches in memory and in a Redis, events.
    Complete,
}

/// A service to be created.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub pods: Pods,
    /// `mysql.connectionBudget`.
    pub budget: u32,
    pub kind: Kind,
}

impl Service {
    /// The service with what it needs.
    pub fn manifest(self, database: &Database<'_>, mode: Mode, enforcement: bool) -> Value {
        let secret = |name: &str, username: &str, password: &str| {
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
                "stringData": {"username": username, "password": password}})
        };
        let mut spec = json!({
            "mysql": {
                "connectionBudget": self.budget,
                "reservedConnections": 0,
            },
            "tables": {"searches": {"table": "slow_searches"}},
            "pod": {"resources": {"requests": {"cpu": "30m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}},
        });
        if self.kind == Kind::Provisioned {
            spec["mysql"]["provisioned"] = json!({"host": database.host(), "database": PROVISIONED, "admin": {"secretName": "prove-admin"}});
            // The tables are those of the other scenarios.
            spec["mysql"]["migrate"] = json!({"enabled": false});
        } else {
            spec["mysql"]["external"] = json!({"host": database.host(), "database": ACCOUNT, "credentials": {"secretName": "prove-login"}});
        }
        if self.kind == Kind::Complete {
            spec["tables"] = json!({});
            spec["mysql"]["migrate"] = json!({"enabled": true});
            // The times to live are so short that answers come from both caches and from the database.
            spec["cache"] = json!({"memory": {"ttlSeconds": 5}, "shared": {"ttlSeconds": 10}});
            spec["redis"] = json!({"managed": {}});
            spec["events"] = json!({"enabled": true});
        } else {
            spec["cache"] = json!({"memory": {"percentOfLimit": 0}});
        }
        match self.pods {
            Pods::Fixed(number) => spec["replicas"] = json!(number),
            Pods::Between(least, most) => {
                // The CPU request is so large that load alone causes no further pods.
                spec["pod"]["resources"]["requests"]["cpu"] = json!("150m");
                spec["autoscaling"] = json!({"minReplicas": least, "maxReplicas": most, "targetCPUUtilizationPercentage": 100});
            }
        }
        if enforcement {
            let value = if mode == Mode::Server { "Auto" } else { "Plan" };
            spec["mysql"]["budgetEnforcement"] = json!(value);
        }
        json!({"apiVersion": "v1", "kind": "List", "items": [
            secret("prove-login", ACCOUNT, PASSWORD),
            secret("prove-admin", "root", database.root_password()),
            {"apiVersion": "reckon.dev/v1alpha1", "kind": "RecommendationService", "metadata": {"name": NAME}, "spec": spec},
        ]})
    }
}
