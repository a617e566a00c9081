//! The model in use, which is replaced while requests are served.

use super::invalid::Invalid;
use super::metrics::ModelMetrics;
use super::model::TrainedModel;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tracing::{debug, info, warn};

/// The newest publication, as a reader finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// There is no model, or no table for models.
    Nothing,
    /// The digest that the caller already has is still the newest.
    Unchanged,
    /// Another document.
    Document(Vec<u8>),
}

/// The model in use.
#[derive(Debug, Default)]
pub struct CurrentModel {
    /// The tag of `state`'s model, for the hot path.
    tag: AtomicU64,
    state: RwLock<State>,
    metrics: ModelMetrics,
}

/// The model in use, and how often to look for a newly published one.
#[derive(Clone, Debug)]
pub struct FollowedModel {
    /// Receives each new version.
    pub current: Arc<CurrentModel>,
    /// Time between two looks.
    pub period: Duration,
}

impl From<Arc<CurrentModel>> for FollowedModel {
    /// Once a minute.
    fn from(current: Arc<CurrentModel>) -> Self {
        let period = Duration::from_mins(1);
        Self { current, period }
    }
}

#[derive(Debug, Default)]
struct State {
    model: Option<Arc<TrainedModel>>,
    /// Digest of the document that was read last, valid or not.
    digest: Option<String>,
    problem: Option<Problem>,
}

/// Why the newest published model is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing is published.
    #[error("no model is published")]
    Missing,
    /// The published document is not a valid model.
    #[error(transparent)]
    Invalid(Invalid),
}

impl CurrentModel {
    /// No model yet; its metrics are registered.
    #[must_use]
    pub(crate) fn registered(registry: &mut Registry) -> Arc<Self> {
        Arc::new(Self {
            metrics: ModelMetrics::new(registry),
            ..Self::default()
        })
    }

    /// The model, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<Arc<TrainedModel>> {
        self.read().model.clone()
    }

    /// The tag of the model; 0 without one.
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.tag.load(Ordering::Acquire)
    }

    /// Why the newest published model is not used.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        self.read().problem.clone()
    }

    /// Digest of the document that was read last.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        self.read().digest.clone()
    }

    /// The published document could not be read. The current model stays in use.
    pub fn not_read(&self, error: &(dyn std::error::Error + 'static)) {
        self.metrics.failed.inc();
        debug!(error, "failed to read the published model");
    }

    /// Applies the document that is published under `digest`. If the document is invalid, the current model stays in
    /// use.
    pub fn take(&self, digest: Option<String>, published: Published) {
        let parsed = match published {
            Published::Unchanged => return,
            Published::Nothing => Err(Problem::Missing),
            Published::Document(document) => {
                TrainedModel::parse(&document).map_err(Problem::Invalid)
            }
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.digest = digest;
        match parsed {
            Ok(model) => {
                info!(
                    version = model.version(),
                    categories = model.categories().len(),
                    "model loaded"
                );
                self.tag.store(model.tag(), Ordering::Release);
                self.metrics.loaded(&model);
                state.model = Some(Arc::new(model));
                state.problem = None;
            }
            Err(problem) => {
                if state.problem.as_ref() != Some(&problem) {
                    let in_use = state.model.as_ref().map(|model| model.version().to_owned());
                    // Nothing is wrong with a service that has never had a model.
                    if problem == Problem::Missing && in_use.is_none() {
                        info!("no model is published: users are ranked by their own history alone");
                    } else {
                        warn!(%problem, in_use, "the published model is not used");
                    }
                }
                if problem == Problem::Missing {
                    self.metrics.missing();
                    self.tag.store(0, Ordering::Release);
                    state.model = None;
                } else {
                    self.metrics.invalid.inc();
                }
                state.problem = Some(problem);
            }
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{CurrentModel, Problem, Published};
    use crate::model::Day;
    use crate::trained::{Category, Invalid, TrainedModel};

    fn document(created: u64) -> Vec<u8> {
        let books = Category {
            name: "books".into(),
            share: 0.5,
            take_up: 0.0,
            related: Vec::new(),
        };
        TrainedModel::new(created, Day(1), (1, 1), vec![books])
            .unwrap()
            .document()
    }

    #[test]
    fn a_newer_model_replaces_the_one_in_use_and_an_invalid_one_does_not() {
        let current = CurrentModel::default();
        assert_eq!((current.tag(), current.problem()), (0, None));
        current.take(Some("1".to_owned()), Published::Document(document(1)));
        let first = current.get().unwrap();
        assert_eq!((first.created(), current.tag()), (1, first.tag()));

        current.take(
            Some("2".to_owned()),
            Published::Document(b"poison".to_vec()),
        );
        assert_eq!(current.get().unwrap().created(), 1);
        assert_eq!(current.problem(), Some(Problem::Invalid(Invalid::Header)));
        assert_eq!(
            current.digest().as_deref(),
            Some("2"),
            "it is not read again"
        );

        current.take(Some("2".to_owned()), Published::Unchanged);
        assert!(current.problem().is_some());
        current.take(Some("3".to_owned()), Published::Document(document(3)));
        assert_eq!(
            (current.get().unwrap().created(), current.problem()),
            (3, None)
        );
        assert_ne!(current.tag(), first.tag());
    }

    #[test]
    fn a_model_that_was_withdrawn_is_no_longer_used() {
        let current = CurrentModel::default();
        current.take(Some("1".to_owned()), Published::Document(document(1)));
        current.take(None, Published::Nothing);
        assert_eq!(
            (current.tag(), current.problem()),
            (0, Some(Problem::Missing))
        );
        assert!(current.get().is_none());
    }
}
