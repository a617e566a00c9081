//! What there is to say of database, tables and cache. Pure.

use super::View;
use super::conditions::{Finding, Status};
use crate::controller::database::Outcome;
use crate::controller::kind::Kind;
use crate::provision::error::Error;

impl View<'_> {
    pub(super) fn provisioning_failed(&self, error: &Error) -> String {
        let admin = self.instance.mysql.provisioned.as_ref();
        match (error, admin) {
            (Error::AccessDenied { .. }, Some(provisioned)) => format!(
                "{error}; check user name and password (Secret {})",
                provisioned.admin.secret_name
            ),
            _ => error.to_string(),
        }
    }

    pub(super) fn migration_failed(&self) -> Option<String> {
        let log = self.observed.migration_log.as_ref()?;
        let secret = self.instance.migration_secret()?;
        Some(format!(
            "making tables and indexes failed (Secret {secret}), and is tried again: {log}"
        ))
    }

    pub(super) fn database(&self) -> Finding {
        if let Some(Outcome::Failed(error)) = &self.done.database {
            let sentence = self.provisioning_failed(error);
            return Finding::new(Status::False, error.reason(), sentence);
        }
        let at = self.instance.database();
        let place = format!("the database {} at {}:{}", at.name, at.host, at.port);
        let Some(health) = &self.observed.health else {
            return Finding::new(
                Status::Unknown,
                "NoPodAnswers",
                format!("no pod has said whether {place} answers"),
            );
        };
        match &health.database_trouble {
            Some((pods, why)) => {
                let (reason, advice) = database_reason(why);
                let secret = match reason {
                    "AccessDenied" => format!(" (Secret {})", self.instance.database_secret()),
                    _ => String::new(),
                };
                let sentence = format!(
                    "{pods} of {} pods asked cannot use {place}: {why}; {advice}{secret}",
                    health.answered
                );
                Finding::new(Status::False, reason, sentence)
            }
            None => Finding::new(Status::True, "Connected", format!("{place} answers")),
        }
    }

    pub(super) fn cache(&self) -> Finding {
        let Some((host, port)) = self.instance.redis_address() else {
            return Finding::new(Status::Unknown, "NotConfigured", "there is no Redis");
        };
        let place = format!("the Redis at {host}:{port}");
        let Some(health) = &self.observed.health else {
            return Finding::new(
                Status::Unknown,
                "NoPodAnswers",
                format!("no pod has said whether {place} answers"),
            );
        };
        match &health.cache_trouble {
            Some((pods, why)) => {
                let sentence = format!(
                    "{pods} of {} pods asked cannot use {place} ({why}): answers stay right and are slower, and invalidations are refused",
                    health.answered
                );
                Finding::new(Status::False, "CacheUnreachable", sentence)
            }
            None => Finding::new(Status::True, "Connected", format!("{place} answers")),
        }
    }

    pub(super) fn indexes(&self) -> Finding {
        if self.instance.migration_secret().is_none() {
            let sentence = "nobody makes tables and indexes: set mysql.migrate.enabled, or run `reckon-api migrate` yourself";
            return Finding::new(Status::Unknown, "NotManaged", sentence);
        }
        if let Some(sentence) = self.migration_failed() {
            return Finding::new(Status::False, "MigrationFailed", sentence);
        }
        let jobs = self
            .observed
            .children
            .iter()
            .filter(|((kind, _), _)| *kind == Kind::Job);
        let succeeded = jobs
            .clone()
            .any(|(_, job)| job.data["status"]["succeeded"].as_u64().unwrap_or(0) > 0);
        if succeeded {
            Finding::new(Status::True, "Migrated", "tables and indexes are there")
        } else if matches!(&self.done.database, Some(Outcome::Failed(_))) {
            Finding::new(
                Status::Unknown,
                "NoDatabase",
                "there is no database to look into, see DatabaseReachable",
            )
        } else {
            Finding::new(
                Status::False,
                "Migrating",
                "tables and indexes are being made",
            )
        }
    }
}

/// The reason for what a pod's `/health` says of its database, and what to do about it.
pub(super) fn database_reason(why: &str) -> (&'static str, &'static str) {
    match why {
        "not connected yet" => ("Connecting", "this takes seconds"),
        "unreachable" => (
            "DatabaseUnreachable",
            "check host and port, and whether a firewall or networkPolicy.egressCidrs is in the way",
        ),
        "access denied" => (
            "AccessDenied",
            "check user name and password, and that the user may SELECT",
        ),
        "unknown database" => ("UnknownDatabase", "make it, or correct its name"),
        "missing table or column" => (
            "SchemaMismatch",
            "make tables and indexes with mysql.migrate.enabled, or `reckon-api migrate`",
        ),
        "tls" => (
            "CertificateRefused",
            "check tls.mode and the authorities in tls.caSecretName",
        ),
        "too many connections" => (
            "TooManyConnections",
            "the server takes no more: raise its max_connections, or lower mysql.connectionBudget",
        ),
        "timeout" => (
            "DatabaseSlow",
            "look for slow statements and locks on the server",
        ),
        _ => ("DatabaseFailing", "the pods' logs say more"),
    }
}
