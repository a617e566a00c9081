//! Leader election: only the operator that holds a Lease acts (client-go's protocol).
//!
//! If the holder cannot renew the Lease, it stops acting [`RENEW_DEADLINE`] after its last renewal, by its own
//! monotonic clock. Another operator takes over [`DURATION`] after it last *observed* a renewal, by its own clock. The
//! clocks of two machines are never compared.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

/// How long a Lease is valid after a renewal was observed.
pub const DURATION: Duration = Duration::from_secs(15);
/// How long the holder may act after its last renewal.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often a Lease is renewed or checked.
pub const RETRY: Duration = Duration::from_secs(2);

/// Whether this operator leads.
#[derive(Clone, Debug)]
pub struct Leadership {
    term: watch::Receiver<Option<Term>>,
}

/// A period of holding the Lease without interruption.
#[derive(Clone, Copy, Debug)]
struct Term {
    since: Instant,
    renewed: Instant,
}

impl Term {
    fn is_fresh(&self) -> bool {
        self.renewed.elapsed() < RENEW_DEADLINE
    }
}

impl Leadership {
    #[cfg(test)]
    pub(crate) fn nobodys() -> Self {
        Self {
            term: watch::channel(None).1,
        }
    }

    /// Whether this operator may still act.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.since().is_some()
    }

    /// When this operator started to lead. `None`: it does not lead.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        let term = self.term.borrow().filter(Term::is_fresh);
        term.map(|term| term.since)
    }

    /// Waits until this operator may act.
    pub async fn held(&self) {
        let mut term = self.term.clone();
        // The sender exists as long as the process.
        term.wait_for(|term| term.is_some_and(|term| term.is_fresh()))
            .await
            .ok();
    }
}

/// An operator that competes for a Lease.
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    identity: String,
    term: watch::Sender<Option<Term>>,
    seen: Option<(LeaseSpec, Instant)>,
}

impl Candidate {
    /// A candidate named `identity` for the Lease `name`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> (Self, Leadership) {
        let (term, receiver) = watch::channel(None);
        let candidate = Self {
            leases: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            term,
            seen: None,
        };
        (candidate, Leadership { term: receiver })
    }

    /// Acquires and renews the Lease until `stop`, then releases it.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let began = Instant::now();
            let held = self.term.borrow().filter(Term::is_fresh);
            // A slower renewal does not count, because a renewal is valid from the moment of its request.
            match timeout(RENEW_DEADLINE, self.step()).await {
                Ok(Ok(true)) => {
                    if held.is_none() {
                        info!(identity = %self.identity, "acquired the Lease");
                    }
                    let since = held.map_or_else(Instant::now, |term| term.since);
                    let renewed = began;
                    self.term.send_replace(Some(Term { since, renewed }));
                }
                Ok(Ok(false)) => {
                    if held.is_some() {
                        warn!("lost the Lease to another operator");
                    }
                    self.term.send_replace(None);
                }
                Ok(Err(error)) => warn!(%error, lease = %self.name, "failed to renew the Lease"),
                Err(_) => warn!(lease = %self.name, "no answer while renewing the Lease"),
            }
            tokio::select! {
                () = sleep(self.pause()) => {}
                () = &mut stop => break,
            }
        }
        self.release().await;
    }

    /// Acquires or renews the Lease if possible; returns whether it is held.
    async fn step(&mut self) -> Result<bool, Error> {
        let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None)),
            };
            return taken(self.leases.create(&PostParams::default(), &lease).await);
        };
        let current = lease.spec.clone().unwrap_or_default();
        let holder = current.holder_identity.clone().unwrap_or_default();
        if holder != self.identity && !holder.is_empty() && !self.has_run_out(&current) {
            return Ok(false);
        }
        lease.spec = Some(self.spec(Some(&current)));
        // The write contains the `resourceVersion` that was read. So if two operators observe the expiry, only one gets
        // the Lease.
        taken(
            self.leases
                .replace(&self.name, &PostParams::default(), &lease)
                .await,
        )
    }

    /// Whether the Lease has not changed for [`DURATION`].
    fn has_run_out(&mut self, current: &LeaseSpec) -> bool {
        match &self.seen {
            Some((seen, since)) if seen == current => since.elapsed() >= DURATION,
            _ => {
                self.seen = Some((current.clone(), Instant::now()));
                false
            }
        }
    }

    /// The time until the next check. It does not exceed the time until the Lease expires.
    fn pause(&self) -> Duration {
        let left = self
            .seen
            .as_ref()
            .map(|(_, since)| DURATION.saturating_sub(since.elapsed()));
        // An expired Lease is checked again after the usual pause.
        left.filter(|left| !left.is_zero())
            .map_or(RETRY, |left| left.min(RETRY))
    }

    fn spec(&self, current: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let same =
            current.filter(|current| current.holder_identity.as_ref() == Some(&self.identity));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: same
                .and_then(|same| same.acquire_time.clone())
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: current.map_or(Some(0), |current| {
                let transitions = current.lease_transitions.unwrap_or(0);
                Some(if same.is_some() {
                    transitions
                } else {
                    transitions + 1
                })
            }),
            ..LeaseSpec::default()
        }
    }

    /// Releases the Lease, so that another operator can act at once.
    async fn release(self) {
        self.term.send_replace(None);
        let released = timeout(RETRY, async {
            let Some(mut lease) = self.leases.get_opt(&self.name).await? else {
                return Ok(());
            };
            match &mut lease.spec {
                Some(spec) if spec.holder_identity.as_ref() == Some(&self.identity) => {
                    spec.holder_identity = Some(String::new());
                    self.leases
                        .replace(&self.name, &PostParams::default(), &lease)
                        .await
                        .map(drop)
                }
                _ => Ok(()),
            }
        });
        match released.await {
            Ok(Ok(())) => info!("released the Lease"),
            Ok(Err(error)) => warn!(%error, "failed to release the Lease"),
            Err(_) => warn!("no answer while releasing the Lease"),
        }
    }
}

/// Losing to a faster operator is no error.
fn taken(written: Result<Lease, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
