//! Which operator of several acts: whoever holds a Lease (the protocol of client-go's leader election).
//!
//! A holder that cannot renew stops acting [`RENEW_DEADLINE`] after its last renewal, by its own monotonic clock; another
//! one takes over [`DURATION`] after it last *saw* a renewal, by its own. Neither compares clocks of two machines.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Error};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

/// How long a Lease is good after a renewal was seen.
pub const DURATION: Duration = Duration::from_secs(15);
/// How long the holder acts after its last renewal.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often a Lease is renewed, or looked at.
pub const RETRY: Duration = Duration::from_secs(2);

/// Whether this operator acts.
#[derive(Clone, Debug)]
pub struct Leadership {
    term: watch::Receiver<Option<Term>>,
}

/// A time of holding the Lease without interruption.
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

    /// When this operator began to lead. `None`: it does not lead.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        let term = self.term.borrow().filter(Term::is_fresh);
        term.map(|term| term.since)
    }

    /// Waits until this operator may act.
    pub async fn held(&self) {
        let mut term = self.term.clone();
        // The sender lives as long as the process.
        term.wait_for(|term| term.is_some_and(|term| term.is_fresh()))
            .await
            .ok();
    }
}

/// A Lease, and who wants it.
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

    /// Takes and renews the Lease until `stop`, then gives it back.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let began = Instant::now();
            let held = self.term.borrow().filter(Term::is_fresh);
            // A renewal that takes longer is no renewal: the moment that counts is when it was asked for.
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

    /// Takes or renews the Lease if that is possible; whether it is held.
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
        // With the resourceVersion that was read: of two that see it run out, one gets it.
        taken(
            self.leases
                .replace(&self.name, &PostParams::default(), &lease)
                .await,
        )
    }

    /// Whether nothing changed for as long as a Lease is good.
    fn has_run_out(&mut self, current: &LeaseSpec) -> bool {
        match &self.seen {
            Some((seen, since)) if seen == current => since.elapsed() >= DURATION,
            _ => {
                self.seen = Some((current.clone(), Instant::now()));
                false
            }
        }
    }

    /// Until the next look: not later than the Lease runs out.
    fn pause(&self) -> Duration {
        let left = self
            .seen
            .as_ref()
            .map(|(_, since)| DURATION.saturating_sub(since.elapsed()));
        // One that ran out already is looked at again in the usual time.
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

    /// Lets another operator act at once.
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

/// Somebody who was faster is no error.
fn taken(written: Result<Lease, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}
