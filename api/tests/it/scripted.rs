//! A store whose behaviour a test controls.

use reckon_api::model::{Categories, History, UserId};
use reckon_api::store::new_rows::{Answer, Followed, Question};
use reckon_api::store::{Connection, Error, Reason, Scope, Store};
use reckon_api::trained::Published;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering::SeqCst};
use std::{sync::Arc, time::Duration};

/// The true data and the behaviour of the store; shared with the test.
#[derive(Default)]
pub struct Script {
    /// The number in every user's history.
    pub truth: AtomicU64,
    /// Statements executed.
    pub statements: AtomicU64,
    /// Whether no user has a history.
    pub empty: AtomicBool,
    /// Maximum duration of a statement in milliseconds. Its answer is the true data at its beginning.
    pub delay: AtomicU64,
    /// Minimum duration.
    pub least_delay: AtomicU64,
    /// Whether statements fail.
    pub broken: AtomicBool,
    /// Whether statements panic, as a driver does that cannot read an answer.
    pub panics: AtomicBool,
    /// Whether probes panic.
    pub probes_panic: AtomicBool,
    /// Probes answered.
    pub probes: AtomicU64,
    /// Maximum number of times that a statement yields to other tasks, before and after it reads the data.
    pub yields: AtomicU64,
    /// Number of histories that an answer has too many (positive) or too few (negative).
    pub surplus: AtomicIsize,
}

pub struct ScriptedStore(pub Arc<Script>);

impl Store for ScriptedStore {
    type Connection = Self;

    const USERS_PER_STATEMENT: usize = 2;

    fn statement_limit(&self) -> Duration {
        Duration::from_millis(100)
    }

    async fn connect(&self) -> Result<Self, Error> {
        Ok(Self(Arc::clone(&self.0)))
    }
}

impl ScriptedStore {
    async fn let_others_go_first(&self) {
        for _ in 0..fastrand::u64(0..=self.0.yields.load(SeqCst)) {
            tokio::task::yield_now().await;
        }
    }

    async fn take_its_time(&self) {
        let least = self.0.least_delay.load(SeqCst);
        let delay = fastrand::u64(least..=self.0.delay.load(SeqCst).max(least));
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
    }
}

impl Connection for ScriptedStore {
    async fn histories(&mut self, users: &[UserId], _: u32) -> Result<Vec<History>, Error> {
        self.0.statements.fetch_add(1, SeqCst);
        assert!(!self.0.panics.load(SeqCst), "scripted panic");
        self.let_others_go_first().await;
        let truth = self.0.truth.load(SeqCst).to_string();
        self.let_others_go_first().await;
        self.take_its_time().await;
        if self.0.broken.load(SeqCst) {
            return Err(broken());
        }
        let history = History {
            searches: if self.0.empty.load(SeqCst) {
                Categories::default()
            } else {
                [Some(truth.as_str()); 2].into_iter().collect()
            },
            purchases: Categories::default(),
        };
        let count = users
            .len()
            .saturating_add_signed(self.0.surplus.load(SeqCst));
        Ok(vec![history; count])
    }

    async fn probe(&mut self) -> Result<(), Error> {
        assert!(!self.0.probes_panic.load(SeqCst), "scripted panic");
        self.0.probes.fetch_add(1, SeqCst);
        Ok(())
    }

    async fn model(&mut self, _: Option<&str>) -> Result<(Option<String>, Published), Error> {
        Ok((None, Published::Nothing))
    }

    async fn new_rows(&mut self, _: Followed, _: &Question) -> Result<Answer, Error> {
        Ok(Answer::Newest(None))
    }

    async fn ping(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn describe(&self) -> String {
        "a script".to_owned()
    }

    async fn close(self) {}
}

fn broken() -> Error {
    Error {
        reason: Reason::Other,
        scope: Scope::Statement,
        source: "scripted failure".into(),
    }
}
