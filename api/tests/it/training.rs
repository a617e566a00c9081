//! `reckon-api train`: what it publishes, what it does not change, and which model is then in use.

mod evaluated;
mod example;
mod file;
mod gate;
mod hostile;
mod interrupted;
mod invalid;
mod mapped;
pub mod place;
mod privileges;
mod published;
mod quality;
mod rejected;
mod rows;

use crate::harness::api_process::{ApiCommand, ApiProcess};
use place::Place;
use reckon_api::model::Day;
use reckon_api::trained::{Category, TrainedModel};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// More time than a training takes on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Makes a test of each scenario (`async fn(Place)`) on MariaDB, MySQL and SQLite.
macro_rules! on_each_place {
    ($($scenario:ident),+ $(,)?) => {
        mod on_mariadb {
            $(#[tokio::test] async fn $scenario() {
                super::$scenario($crate::training::place::Place::mariadb().await).await;
            })+
        }
        mod on_mysql9 {
            $(#[tokio::test] async fn $scenario() {
                super::$scenario($crate::training::place::Place::mysql9().await).await;
            })+
        }
        mod on_sqlite {
            $(#[tokio::test] async fn $scenario() {
                super::$scenario($crate::training::place::Place::sqlite().await).await;
            })+
        }
    };
}
use on_each_place;

/// A training that has ended.
#[derive(Debug)]
struct Ran {
    succeeded: bool,
    lines: Vec<String>,
}

impl Ran {
    /// The line of its log with this message.
    fn line(&self, message: &str) -> Value {
        line(&self.lines, message).unwrap_or_else(|| panic!("no line {message:?}: {self:#?}"))
    }

    /// The version that it published.
    fn version(&self) -> String {
        assert!(self.succeeded, "{self:#?}");
        let line = self.line("model published");
        line["version"].as_str().unwrap().to_owned()
    }

    /// The error of a failed training.
    fn error(&self) -> &str {
        assert!(!self.succeeded, "{self:#?}");
        let error = self
            .lines
            .iter()
            .find_map(|line| line.strip_prefix("error: "));
        error.unwrap_or_else(|| panic!("no error: {self:#?}"))
    }
}

/// The line of a log with this message.
fn line(lines: &[String], message: &str) -> Option<Value> {
    let parsed = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.into_iter().find(|line| line["message"] == message)
}

fn command(place: &Place, arguments: &[&str]) -> ApiCommand {
    let command = ApiCommand::new().args(["train"]).args(arguments);
    command.envs(place.environment())
}

/// Trains to the end.
async fn train(place: &Place, arguments: &[&str]) -> Ran {
    end(command(place, arguments).spawn()).await
}

async fn end(mut training: ApiProcess) -> Ran {
    let exit = training.process.exit(TIMEOUT).await;
    Ran {
        succeeded: exit.status.success(),
        lines: training.process.logs(),
    }
}

/// A process that serves with `NextBasket`.
struct Serving {
    api: ApiProcess,
    _directory: TempDir,
}

impl Serving {
    async fn start(place: &Place, variables: &[(&str, PathBuf)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tuning = directory.path().join("tuning.yaml");
        std::fs::write(&tuning, "recommendation: {algorithm: NextBasket}\n").unwrap();
        let mut command = ApiCommand::new()
            .envs(place.environment())
            .env("RECKON_TUNING", &tuning);
        for (name, value) in variables {
            command = command.env(name, value);
        }
        let api = command.spawn();
        api.ready().await;
        Self {
            api,
            _directory: directory,
        }
    }

    /// The version in an answer's metadata.
    async fn version(&self, user: i64) -> Option<String> {
        let answer = self.api.client().get(&format!("/recommend/{user}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer = answer.json();
        assert_eq!(answer["metadata"]["algorithm"], "NextBasket", "{answer}");
        answer["metadata"]["model"].as_str().map(str::to_owned)
    }
}

/// A model in which the baskets contain these categories with these shares.
fn model(created: u64, shares: &[(&str, f64)]) -> TrainedModel {
    let categories = shares.iter().map(|&(name, share)| Category {
        name: name.into(),
        share,
        take_up: 0.0,
        related: Vec::new(),
    });
    TrainedModel::new(created, Day(740_000), (10, 100), categories.collect()).unwrap()
}
