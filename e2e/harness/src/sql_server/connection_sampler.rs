//! Samples how many connections an account has at once, as the server reports it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::Connection;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use tokio::task::JoinHandle;

use super::{ROOT, SqlServer};

/// Interval of samples. A sample costs the server about a tenth of a millisecond.
const EVERY: Duration = Duration::from_millis(5);

/// Time limit of a sample. A slower one means a frozen server: connect again.
const LOOK: Duration = Duration::from_secs(1);

/// The sessions of an account at the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    /// Its connections, including idle ones.
    pub open: i64,
    /// Its running statements.
    pub running: i64,
}

/// The maximum values so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peak {
    /// Maximum connections at once.
    pub open: i64,
    /// Maximum running statements at once.
    pub running: i64,
    /// Number of samples: 0 means that nothing is known.
    pub looks: u64,
}

/// Samples every 5 ms over a separate connection (as root, so it does not count itself) until dropped.
pub struct ConnectionSampler {
    peak: Arc<Mutex<Peak>>,
    task: JoinHandle<()>,
}

impl SqlServer {
    /// The current sessions of `user`.
    pub async fn sessions(&self, user: &str) -> Sessions {
        look(&mut self.admin().await, user).await.unwrap()
    }

    /// Starts to count the sessions of `user`; continues through crashes of the server.
    pub async fn sample_connections(&self, user: &str) -> ConnectionSampler {
        // The first sample is taken here, so that nothing after it is missed.
        let mut connection = self.admin().await;
        let first = look(&mut connection, user).await.unwrap();
        let peak = Arc::new(Mutex::new(Peak::default().with(first)));
        let task = tokio::spawn(sample(
            connection,
            self.options(ROOT),
            user.to_owned(),
            peak.clone(),
        ));
        ConnectionSampler { peak, task }
    }
}

impl ConnectionSampler {
    /// The maximum values so far.
    #[must_use]
    pub fn peak(&self) -> Peak {
        *self.peak.lock().unwrap()
    }

    /// Resets the maximum values and starts again.
    pub fn reset(&self) {
        *self.peak.lock().unwrap() = Peak::default();
    }
}

impl Drop for ConnectionSampler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peak {
    fn with(self, sessions: Sessions) -> Self {
        Self {
            open: self.open.max(sessions.open),
            running: self.running.max(sessions.running),
            looks: self.looks + 1,
        }
    }
}

async fn sample(
    mut connection: MySqlConnection,
    options: MySqlConnectOptions,
    user: String,
    peak: Arc<Mutex<Peak>>,
) {
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Ok(Ok(sessions)) = tokio::time::timeout(LOOK, look(&mut connection, &user)).await {
            let mut peak = peak.lock().unwrap();
            *peak = peak.with(sessions);
        } else if let Ok(Ok(again)) =
            tokio::time::timeout(LOOK, MySqlConnection::connect_with(&options)).await
        {
            connection = again;
        }
    }
}

/// The error with which MySQL 9 answers while a statement of any session has bytes that are not UTF-8.
const NOT_CONVERTED: &str = "Cannot convert string";

async fn look(connection: &mut MySqlConnection, user: &str) -> Result<Sessions, sqlx::Error> {
    loop {
        match look_once(connection, user).await {
            Err(sqlx::Error::Database(error)) if error.message().starts_with(NOT_CONVERTED) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            looked => return looked,
        }
    }
}

async fn look_once(connection: &mut MySqlConnection, user: &str) -> Result<Sessions, sqlx::Error> {
    let (open, running) = sqlx::query_as(
        "SELECT COUNT(*) AS open, COUNT(IF(command IN ('Query', 'Execute'), 1, NULL)) AS running \
         FROM information_schema.processlist WHERE user = ?",
    )
    .bind(user)
    .fetch_one(connection)
    .await?;
    Ok(Sessions { open, running })
}
