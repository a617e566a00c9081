//! The address of the database.

use super::Instance;
use crate::crd::{Tls, TlsMode};
use std::collections::BTreeSet;

impl Instance {
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
            (None, None) => unreachable!("`Instance::new` rejects a resource without either"),
        }
    }

    /// Tables whose rows the pods insert and delete, if the operator creates the user with which they log in.
    #[must_use]
    pub fn written_tables(&self) -> BTreeSet<String> {
        if self.mysql.provisioned.is_none() || !self.tuning.events.enabled {
            return BTreeSet::new();
        }
        let tables = self.tuning.tables.existing();
        tables.into_iter().map(|table| table.name).collect()
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
                "the server's certificate is not verified (mysql.provisioned.tls.mode: {mode:?}); an attacker who answers at {}:{} could get the administrator's password; use VerifyFull",
                provisioned.host, provisioned.port
            )
        })
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
