//! The algorithm of tests whose subject is not the ranking: their expected answers follow from counts of rows.

use reckon_contract::Tuning;
use reckon_contract::tuning::Algorithm;
use std::ffi::OsStr;
use std::path::Path;
use tempfile::TempDir;

/// The defaults with `Classic`.
pub fn tuning() -> Tuning {
    let mut tuning = Tuning::default();
    tuning.recommendation.algorithm = Algorithm::Classic;
    tuning
}

/// Writes a tuning file with the settings of `file`, if there is one, and `Classic`.
pub fn write(file: Option<&OsStr>, directory: &TempDir) -> std::path::PathBuf {
    let text = file.map(|file| std::fs::read_to_string(Path::new(file)).unwrap());
    let text = text.unwrap_or_default();
    assert!(!text.contains("algorithm"), "it has its own: {text}");
    let mut settings: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    settings["recommendation"]["algorithm"] = "Classic".into();
    let path = directory.path().join("classic.yaml");
    std::fs::write(&path, serde_yaml::to_string(&settings).unwrap()).unwrap();
    path
}
