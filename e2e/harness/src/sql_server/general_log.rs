//! The statements that the server received, from its own general log.

use super::{ROOT, SqlServer};

/// One line of the general log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedStatement {
    /// The session that sent it.
    pub connection: i64,
    /// The account.
    pub user: String,
    /// `Connect`, `Prepare`, `Execute`, `Query`, `Quit`, ...
    pub command: String,
    /// The statement; an `Execute` contains its values.
    pub text: String,
}

impl LoggedStatement {
    /// Whether it reads the original's tables: a `Prepare` does not read them yet.
    #[must_use]
    pub fn reads_history(&self) -> bool {
        let runs = ["Query", "Execute"].contains(&self.command.as_str());
        runs && ["searches", "purchase"]
            .iter()
            .any(|table| self.text.contains(table))
    }
}

impl SqlServer {
    /// Empties the general log, and logs every statement from now on.
    pub async fn log_statements(&self) {
        self.execute("SET GLOBAL general_log = OFF; SET GLOBAL log_output = 'TABLE'; TRUNCATE mysql.general_log; SET GLOBAL general_log = ON")
            .await;
    }

    /// Stops logging; logged statements can still be read.
    pub async fn stop_logging(&self) {
        self.execute("SET GLOBAL general_log = OFF").await;
    }

    /// The statements logged since [`Self::log_statements`], oldest first, without [`ROOT`]'s.
    pub async fn statements(&self) -> Vec<LoggedStatement> {
        // user_host: "reckon[reckon] @  [127.0.0.1]", on connecting "[reckon] @  [127.0.0.1]".
        let sql = "SELECT CAST(thread_id AS SIGNED) AS connection, \
             CAST(SUBSTRING_INDEX(SUBSTRING_INDEX(user_host, '[', -2), ']', 1) AS CHAR) AS user, \
             CAST(command_type AS CHAR) AS command, CONVERT(argument USING utf8mb4) AS text \
             FROM mysql.general_log";
        let rows: Vec<(i64, String, String, String)> = sqlx::query_as(sql)
            .fetch_all(&mut self.admin().await)
            .await
            .unwrap();
        rows.into_iter()
            .map(|(connection, user, command, text)| LoggedStatement {
                connection,
                user,
                command,
                text,
            })
            .filter(|statement| statement.user != ROOT.name)
            .collect()
    }

    /// Those of [`Self::statements`] that read the tables `searches` and `purchase`.
    pub async fn history_statements(&self) -> Vec<LoggedStatement> {
        let mut statements = self.statements().await;
        statements.retain(LoggedStatement::reads_history);
        statements
    }
}
