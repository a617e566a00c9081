//! HTTP/1 over real sockets: slow, old, pipelined, too large, or not HTTP.

mod limits;
pub mod raw;
mod requests;

use crate::harness::api_process::{ApiCommand, ApiProcess};

/// Over a SQLite file without rows.
pub async fn api(tuning: &str) -> (ApiProcess, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (data, path) = (
        directory.path().join("reckon.db"),
        directory.path().join("tuning.yaml"),
    );
    let session = reckon_api::store::sqlite::create(&data).await.unwrap();
    sqlx::Connection::close(session).await.unwrap();
    std::fs::write(&path, tuning).unwrap();
    let api = ApiCommand::new()
        .envs([("RECKON_DATA", &data), ("RECKON_TUNING", &path)])
        .spawn();
    api.ready().await;
    (api, directory)
}
