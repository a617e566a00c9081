//! Whether an operator is active here: the check of `helm test`, from a pod with the operator's own privileges.

use crate::crd::RecommendationService;
use crate::lease;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};
use kube::{Client, Error};
use std::time::Duration;
use thiserror::Error as ThisError;
use tokio::time::{sleep, timeout};

/// How long to wait for a new renewal. An existing renewal proves nothing: it may be the last one of a holder that no
/// longer exists.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2 * lease::DURATION.as_secs());

/// Why no operator is active.
#[derive(Debug, ThisError)]
pub enum CheckError {
    /// The resources cannot be read: their definition or the privilege is missing.
    #[error("failed to list the RecommendationServices {whose}")]
    List {
        /// The namespace of the resources.
        whose: String,
        /// The API server's answer.
        #[source]
        source: Error,
    },
    /// The Lease cannot be read, or does not exist.
    #[error("failed to read the Lease {0}")]
    Lease(String, #[source] Error),
    /// The Lease is not renewed.
    #[error("the Lease {lease} has not been renewed for {} s; its last holder is {holder}", RENEWAL_TIMEOUT.as_secs())]
    NobodyActs {
        /// Namespace and name.
        lease: String,
        /// Name of the holder's pod, or empty.
        holder: String,
    },
}

/// Reads the resources of each namespace (of all, if none is given), and waits until the Lease is renewed. Returns the
/// findings, each as a sentence.
///
/// # Errors
/// The resources cannot be read, or no operator renews the Lease within two of its durations.
pub async fn check(
    client: Client,
    namespaces: &[String],
    lease_namespace: &str,
    lease_name: &str,
) -> Result<Vec<String>, CheckError> {
    let mut seen = Vec::new();
    if namespaces.is_empty() {
        seen.push(services(Api::all(client.clone()), "of all namespaces").await?);
    }
    for namespace in namespaces {
        let whose = format!("of the namespace {namespace}");
        seen.push(services(Api::namespaced(client.clone(), namespace), &whose).await?);
    }
    let leases = Api::namespaced(client, lease_namespace);
    seen.push(renewal(&leases, lease_namespace, lease_name).await?);
    Ok(seen)
}

async fn services(
    resources: Api<RecommendationService>,
    whose: &str,
) -> Result<String, CheckError> {
    let one = ListParams::default().limit(1);
    match resources.list(&one).await {
        Ok(list) => {
            let count = list.items.len() as u64
                + list
                    .metadata
                    .remaining_item_count
                    .unwrap_or(0)
                    .unsigned_abs();
            Ok(format!(
                "the RecommendationServices {whose} can be read: {count}"
            ))
        }
        Err(source) => Err(CheckError::List {
            whose: whose.to_owned(),
            source,
        }),
    }
}

/// Waits for a renewal instead of comparing its time with this machine's clock.
async fn renewal(leases: &Api<Lease>, namespace: &str, name: &str) -> Result<String, CheckError> {
    let full = format!("{namespace}/{name}");
    let read = async || {
        let spec = leases
            .get(name)
            .await
            .map_err(|error| CheckError::Lease(full.clone(), error))?
            .spec
            .unwrap_or_default();
        Ok((spec.holder_identity.unwrap_or_default(), spec.renew_time))
    };
    let first: (String, _) = read().await?;
    let renewed = timeout(RENEWAL_TIMEOUT, async {
        loop {
            let (holder, at) = read().await?;
            if !holder.is_empty() && at != first.1 {
                return Ok(format!("{holder} acts: it has renewed the Lease {full}"));
            }
            sleep(lease::RETRY / 2).await;
        }
    });
    renewed.await.unwrap_or(Err(CheckError::NobodyActs {
        lease: full.clone(),
        holder: first.0,
    }))
}
