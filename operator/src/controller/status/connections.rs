//! Findings about database, tables and cache. Pure.

use super::conditions::{Finding, Status};
use super::view::View;
use crate::controller::database::{Failure, Provisioning};
use crate::controller::kind::Kind;
use crate::controller::runs::is_run;
use crate::health::QUERIED_PODS;
use reckon_contract::health::{self, STARTING};
use reckon_contract::provisioning::Reason;

/// How many pods have lost the database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// No pod, as far as is known.
    None,
    /// Some of the pods.
    Some,
    /// All pods.
    All,
}

impl View<'_> {
    pub(super) fn provisioning_failed(&self, failure: &Failure) -> String {
        let Failure { reason, message } = failure;
        let admin = self.instance.mysql.provisioned.as_ref();
        match (reason, admin) {
            (Reason::AccessDenied, Some(provisioned)) => format!(
                "{message}; check user name and password (Secret {})",
                provisioned.admin.secret_name
            ),
            _ => message.clone(),
        }
    }

    pub(super) fn migration_failed(&self) -> Option<String> {
        let log = self.observed.migration_log.as_ref()?;
        let secret = self.instance.migration_secret()?;
        let login = if log.contains("denied") {
            format!("the login in the Secret {secret} needs the CREATE, ALTER and INDEX privileges")
        } else {
            format!("the login is in the Secret {secret}")
        };
        Some(format!(
            "creating tables and indexes failed and is retried; {login}; output of the Job: {log}"
        ))
    }

    pub(super) fn database(&self) -> Finding {
        if let Some(Provisioning::Failed(error)) = &self.outcome.database {
            let sentence = self.provisioning_failed(error);
            return Finding::new(Status::False, error.reason.as_str(), sentence);
        }
        let at = self.instance.database();
        let place = format!("the database {} at {}:{}", at.name, at.host, at.port);
        let Some(health) = &self.observed.health else {
            return no_pod_answers(&place);
        };
        if let Some((pods, why)) = &health.database_trouble {
            let reason = database_reason(why);
            let sentence = format!(
                "{pods} of {} pods cannot use {place}: {why}; {}",
                health.answered,
                self.database_advice(reason)
            );
            return Finding::new(Status::False, reason, sentence);
        }
        let unverified = self.instance.unverified_server();
        let warning = unverified.map_or_else(String::new, |why| format!(", but {why}"));
        let sentence = format!("{place} is reachable{warning}");
        Finding::new(Status::True, "Connected", sentence)
    }

    pub(super) fn cache(&self) -> Finding {
        let Some((host, port)) = self.instance.redis_address() else {
            return Finding::new(Status::Unknown, "NotConfigured", "no Redis is configured");
        };
        let place = format!("the Redis at {host}:{port}");
        let Some(health) = &self.observed.health else {
            return no_pod_answers(&place);
        };
        match &health.cache_trouble {
            Some((pods, why)) => {
                let sentence = format!(
                    "{pods} of {} pods cannot use {place} ({why}): responses stay correct but are slower, and invalidation requests are rejected; check that Redis is running, and its host and port",
                    health.answered
                );
                Finding::new(Status::False, "CacheUnreachable", sentence)
            }
            None => Finding::new(Status::True, "Connected", format!("{place} is reachable")),
        }
    }

    pub(super) fn indexes(&self) -> Finding {
        if self.instance.migration_secret().is_none() {
            let sentence =
                "tables and indexes are not managed, since spec.mysql.migrate.enabled is false";
            return Finding::new(Status::Unknown, "NotManaged", sentence);
        }
        if let Some(sentence) = self.migration_failed() {
            return Finding::new(Status::False, "MigrationFailed", sentence);
        }
        let jobs = self
            .observed
            .children
            .iter()
            .filter(|((kind, _), job)| *kind == Kind::Job && !is_run(job));
        let succeeded = jobs
            .clone()
            .any(|(_, job)| job.data["status"]["succeeded"].as_u64().unwrap_or(0) > 0);
        if succeeded {
            Finding::new(Status::True, "Migrated", "tables and indexes exist")
        } else if matches!(&self.outcome.database, Some(Provisioning::Failed(_))) {
            Finding::new(
                Status::Unknown,
                "NoDatabase",
                "the operator cannot reach the database; see DatabaseReachable",
            )
        } else {
            Finding::new(
                Status::False,
                "Migrating",
                "tables and indexes are being created",
            )
        }
    }

    /// How many of the ready pods cannot reach the database.
    pub(super) fn database_loss(&self) -> Loss {
        let health = self.observed.health.as_ref();
        let Some((pods, health)) = health.and_then(|health| {
            let (pods, _) = health.database_trouble.as_ref()?;
            Some((*pods, health))
        }) else {
            return Loss::None;
        };
        let enough = self.pods.ready.min(QUERIED_PODS);
        if pods == health.answered && pods >= enough {
            Loss::All
        } else {
            Loss::Some
        }
    }

    fn database_advice(&self, reason: &str) -> String {
        let secret = self.instance.database_secret();
        let authorities = self.instance.database().tls;
        let authorities = authorities.and_then(|tls| tls.ca_secret_name.as_ref());
        match reason {
            "Connecting" => "this usually takes a few seconds".to_owned(),
            "DatabaseUnreachable" if self.instance.network_policy.egress_cidrs.is_empty() => {
                "check that the server is running, and its host and port".to_owned()
            }
            "DatabaseUnreachable" => {
                "check that the server is running, its host and port, and spec.networkPolicy.egressCidrs".to_owned()
            }
            "AccessDenied" => format!(
                "check user name and password in the Secret {secret}, and that the user has the SELECT privilege"
            ),
            "UnknownDatabase" => "correct its name, or create it".to_owned(),
            "SchemaMismatch" if self.instance.migration_secret().is_some() => {
                "see IndexesReady".to_owned()
            }
            "SchemaMismatch" => format!(
                "check that it is the right database, and spec.tables; set spec.mysql.migrate.enabled to true (the user in the Secret {secret}, or in \
                 spec.mysql.migrate.credentials, then needs the CREATE, ALTER and INDEX privileges), or run `reckon-api migrate`"
            ),
            "UserIdTypeMismatch" => "set spec.tables.userId to Text, or use tables whose user ids are integers".to_owned(),
            "CertificateRefused" => match authorities {
                Some(authorities) => format!(
                    "check tls.mode, and that ca.crt in the Secret {authorities} contains the authority that issued the server's certificate"
                ),
                None => "check tls.mode, and set tls.caSecretName to the authority that issued the server's certificate if it is not \
                         a public one"
                    .to_owned(),
            },
            "TooManyConnections" => {
                "raise the server's max_connections, or lower spec.mysql.connectionBudget".to_owned()
            }
            "DatabaseSlow" => "check the server for slow statements and locks".to_owned(),
            _ => "see the pods' logs".to_owned(),
        }
    }
}

fn no_pod_answers(place: &str) -> Finding {
    let sentence = format!("no pod has reported whether {place} is reachable");
    Finding::new(Status::Unknown, "NoPodAnswers", sentence)
}

/// The reason that matches the database error in a pod's `/health`.
pub(super) fn database_reason(why: &str) -> &'static str {
    if why == STARTING {
        return "Connecting";
    }
    match health::Reason::named(why) {
        Some(health::Reason::Unreachable) => "DatabaseUnreachable",
        Some(health::Reason::AccessDenied) => "AccessDenied",
        Some(health::Reason::UnknownDatabase) => "UnknownDatabase",
        Some(health::Reason::SchemaMismatch) => "SchemaMismatch",
        Some(health::Reason::UserIdType) => "UserIdTypeMismatch",
        Some(health::Reason::Tls) => "CertificateRefused",
        Some(health::Reason::TooManyConnections) => "TooManyConnections",
        Some(health::Reason::Timeout) => "DatabaseSlow",
        Some(health::Reason::Other) | None => "DatabaseFailing",
    }
}
