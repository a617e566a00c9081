//! The model in a file, instead of the one that the store publishes.

use super::{CurrentModel, MAX_BYTES, Published, digest};
use crate::file_watch::{self, Debounce, FileWatch};
use crate::supervise::{Supervisor, Task};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// How often the file is read: a change takes effect after two reads with the same content.
const PERIOD: Duration = Duration::from_secs(5);
const MAX: u64 = MAX_BYTES as u64;

/// Loads the model in the file at `path`, and its later versions. A missing file means that there is no model.
pub fn follow(path: &Path, tasks: &Arc<Supervisor>, models: Arc<CurrentModel>) {
    let document = file_watch::read(path, MAX);
    let first = Debounce::first(document.as_deref().ok());
    take(&models, path, document);
    let path = path.to_owned();
    tokio::spawn(Arc::clone(tasks).keep(Task::ModelFile, move |again| {
        let debounce = if again { Debounce::default() } else { first };
        let mut file = FileWatch::new(path.clone(), MAX, PERIOD, debounce);
        let (path, models) = (path.clone(), Arc::clone(&models));
        async move {
            while let Some(document) = file.changed().await {
                take(&models, &path, document);
            }
        }
    }));
}

fn take(models: &CurrentModel, path: &Path, document: Result<Vec<u8>, file_watch::Error>) {
    match document {
        Ok(document) => {
            models.take(Some(digest(&document)), Published::Document(document));
        }
        Err(file_watch::Error::Unreadable(error)) if error.kind() == ErrorKind::NotFound => {
            warn!(file = %path.display(), "the model file does not exist");
            models.take(None, Published::Nothing);
        }
        Err(error) => {
            warn!(file = %path.display(), %error, "the model file was not read, keeping the previous model");
            models.not_read(&error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::follow;
    use crate::metrics::Metrics;
    use crate::model::Day;
    use crate::trained::{Category, TrainedModel};
    use reckon_contract::Tuning;
    use std::sync::Arc;
    use std::time::Duration;

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

    #[tokio::test(start_paused = true)]
    async fn a_model_file_can_appear_later_be_replaced_and_be_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model");
        let metrics = Metrics::new(&Tuning::default());
        let models = Arc::clone(&metrics.models);
        follow(&path, &metrics.tasks, Arc::clone(&models));
        assert!(models.get().is_none() && models.problem().is_some());

        let created = || models.get().map(|model| model.created());
        for (content, expected) in [
            (document(1), 1),
            (b"poison".to_vec(), 1),
            (document(2), 2),
            (document(3)[..100].to_vec(), 2),
        ] {
            std::fs::write(&path, &content).unwrap();
            // Waits until the change was read: the clock of this test advances while all tasks wait.
            while models.digest() != Some(super::digest(&content)) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            assert_eq!(created(), Some(expected));
        }
        std::fs::remove_file(&path).unwrap();
        while models.get().is_some() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
