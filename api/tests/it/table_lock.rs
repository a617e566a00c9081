//! Both tables locked by another session: statements of the API wait, and so does its probe.

use sqlx::{AssertSqlSafe, MySqlConnection};

use crate::generated_users::DATABASE;
use crate::harness::sql_server::SqlServer;

/// Held until it is released or dropped.
pub struct TableLock(MySqlConnection);

impl TableLock {
    /// Waits for the lock.
    pub async fn of(server: &SqlServer) -> Self {
        let mut session = server.admin().await;
        let sql = format!("LOCK TABLES {DATABASE}.searches WRITE, {DATABASE}.purchase WRITE");
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut session)
            .await
            .unwrap();
        Self(session)
    }

    /// Releases the lock.
    pub async fn release(mut self) {
        sqlx::raw_sql("UNLOCK TABLES")
            .execute(&mut self.0)
            .await
            .unwrap();
    }
}
