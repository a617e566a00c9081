//! Names of the Secrets with logins and keys.

use super::Instance;
use crate::crd::Credentials;
use std::collections::BTreeMap;

/// Suffix of the name of the Secret with the login of the migration account.
pub const MIGRATION_SECRET: &str = "mysql-migration";
/// Suffix of the name of the Secret with the login of the training account.
pub const TRAINING_SECRET: &str = "mysql-training";

/// Keys of a Secret that holds a login.
const LOGIN: [&str; 2] = ["username", "password"];

impl Instance {
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

    /// Name of the Secret with the login of the training; `None`: there is no training.
    #[must_use]
    pub fn training_secret(&self) -> Option<String> {
        let training = self.training.as_ref()?;
        Some(match &training.credentials {
            Some(Credentials { secret_name }) => secret_name.clone(),
            None if self.mysql.provisioned.is_some() => self.child(TRAINING_SECRET),
            None => self.database_secret(),
        })
    }

    /// Name of the Secret of the account that the operator creates for the training; `None`: it creates none.
    #[must_use]
    pub fn training_account_secret(&self) -> Option<String> {
        let training = self.training.as_ref();
        let has_own = training.is_some_and(|training| training.credentials.is_some());
        let is_made = self.mysql.provisioned.is_some() && !has_own;
        self.training_secret().filter(|_| is_made)
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
        let training = self.training.as_ref();
        if let Some(own) = training.and_then(|training| training.credentials.as_ref()) {
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
