//! Options of the shared cache.

use crate::args::values::port;
use crate::cache::shared;
use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use reckon_contract::env;
use redis::IntoConnectionInfo as _;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use secrecy::{ExposeSecret as _, SecretString};
use std::path::PathBuf;

/// The Redis server of the shared cache.
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
    /// The server of the shared cache, if one is configured.
    ///
    /// # Errors
    /// The URL or the file of authorities is invalid.
    pub fn address(&self) -> anyhow::Result<Option<shared::Address>> {
        let Some(info) = self.connection_info()? else {
            return Ok(None);
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
                "{} ends in #insecure, which checks no certificate: remove it, and set {} to verify-ca if only the host's \
                 name is not in the certificate",
                env::REDIS_URL,
                env::REDIS_TLS
            );
        }
        let info = self.with_authorities(info)?;
        // This is last, because it needs the trusted authorities.
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

    /// The URL if there is one, otherwise the host with the other options.
    fn connection_info(&self) -> anyhow::Result<Option<redis::ConnectionInfo>> {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let url = self
            .redis_url
            .as_ref()
            .and_then(|url| given(url.expose_secret()));
        let host = self.redis_host.as_deref().and_then(given);
        match (url, host) {
            (Some(url), _) => {
                let info = url.into_connection_info().ok().with_context(|| {
                    format!(
                        "invalid {}: expected redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/NUMBER]",
                        env::REDIS_URL
                    )
                })?;
                Ok(Some(info))
            }
            (None, Some(host)) => self.options_info(host).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn options_info(&self, host: String) -> anyhow::Result<redis::ConnectionInfo> {
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

    /// The same address, with the certificate authorities of the file. The inner error is the one of the Redis client.
    fn with_authorities(
        &self,
        info: redis::ConnectionInfo,
    ) -> anyhow::Result<redis::RedisResult<redis::ConnectionInfo>> {
        let Some(path) = &self.redis_tls_ca else {
            return Ok(Ok(info));
        };
        if !matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. }) {
            bail!(
                "{} is set, and the connection has no TLS: expected {} to begin with rediss://",
                env::REDIS_TLS_CA,
                env::REDIS_URL
            );
        }
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
        Ok(built.map(|client| client.get_connection_info().clone()))
    }
}

/// Protection of the connection to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RedisTls {
    /// No TLS: passwords and data are sent in clear text.
    Disabled,
    /// TLS. The certificate must come from a trusted authority; it may name any host.
    VerifyCa,
    /// TLS. The certificate must come from a trusted authority and name the host. Alias: `required`.
    #[value(alias = "required")]
    VerifyFull,
}

#[cfg(test)]
mod tests {
    use super::RedisTls;
    use crate::args::Cli;
    use clap::Parser as _;

    #[test]
    fn required_is_an_alias_of_verify_full() {
        for name in ["required", "verify-full"] {
            let serve = Cli::try_parse_from(["reckon-api", "--redis-tls", name])
                .unwrap()
                .serve;
            assert_eq!(serve.shared_cache.redis_tls, RedisTls::VerifyFull);
        }
    }
}
