//! The target of the model: the table in the database, or a file.

use super::database::Database;
use super::error::Error;
use crate::file_watch;
use crate::trained::{MAX_BYTES, TrainedModel, digest};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tracing::warn;

/// The target of the model.
#[derive(Clone, Debug)]
pub enum Target {
    /// The table `reckon_model`.
    Table,
    /// A file.
    File(PathBuf),
}

/// What was published when the training began.
#[derive(Debug, Default)]
pub struct InForce {
    /// Digest of the newest document in the table.
    digest: Option<String>,
    /// The document.
    pub document: Vec<u8>,
    /// The model, unless it is invalid.
    pub model: Option<TrainedModel>,
}

/// A document to publish.
#[derive(Debug)]
pub struct Publication {
    /// The document.
    pub document: Vec<u8>,
    /// Whether it is the current model with new figures. If so, it replaces the row of the current model.
    pub is_same_model: bool,
}

impl Target {
    /// The current publication.
    ///
    /// # Errors
    /// The table cannot be read. A file that cannot be read counts as none.
    pub async fn in_force(&self, database: &mut Database) -> Result<InForce, Error> {
        let document = match self {
            Self::Table => database.published().await?,
            // A file that cannot be read is replaced.
            Self::File(path) => file_watch::read(path, MAX_BYTES as u64)
                .ok()
                .map(|document| (digest(&document), document)),
        };
        let Some((digest, document)) = document else {
            return Ok(InForce::default());
        };
        let model = TrainedModel::parse(&document).inspect_err(
            |problem| warn!(%problem, "the published model is invalid, so the new one is not compared with it"),
        );
        Ok(InForce {
            digest: Some(digest),
            model: model.ok(),
            document,
        })
    }

    /// Publishes a document in place of the current one.
    ///
    /// # Errors
    /// The document cannot be written, or another model was published meanwhile.
    pub async fn publish(
        &self,
        database: &mut Database,
        in_force: &InForce,
        publication: &Publication,
    ) -> Result<(), Error> {
        let document = &publication.document;
        match self {
            Self::Table => {
                let known = in_force.digest.as_deref();
                let is_same = publication.is_same_model;
                database.publish(known, document, is_same).await
            }
            Self::File(path) => replace(path, document).map_err(|source| Error::Output {
                path: path.clone(),
                source,
            }),
        }
    }
}

/// Writes a file under another name and renames it, so that a reader never sees a part of it.
fn replace(path: &Path, document: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    let partial = path.with_file_name(name);
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(document)?;
        file.sync_all()
    });
    let replaced = written.and_then(|()| std::fs::rename(&partial, path));
    if replaced.is_err() {
        std::fs::remove_file(&partial).ok();
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_else_remains() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model");
        for content in [b"one".as_slice(), b"two"] {
            replace(&path, content).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        let absent = directory.path().join("absent/model");
        assert!(replace(&absent, b"three").is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
