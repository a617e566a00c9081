//! The database of the measurements: its rows, the account of the pods, and the server's own figures about that account.

use clap::ValueEnum;
use reckon_e2e::cluster::Cluster;
use serde::{Deserialize, Serialize};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The account of the pods, and the database that it reads.
pub const ACCOUNT: &str = "prove";
/// Its first password.
pub const PASSWORD: &str = "only-for-a-test";
/// The database that the operator creates in one of the scenarios.
pub const PROVISIONED: &str = "provisioned";
/// Users with rows.
pub const USERS: u32 = 1000;

/// A query through the view takes about 100 ms: 20 rows of 5 ms each, without CPU time. So few requests use many connections.
const TABLES: &str = "
    CREATE TABLE searches (id BIGINT, search VARCHAR(255), searched_at DATETIME, category VARCHAR(255), KEY (id, searched_at, category));
    CREATE TABLE purchase (id BIGINT, product_name VARCHAR(255), purchased_at DATETIME, product_category VARCHAR(255),
        KEY (id, purchased_at, product_category));
    CREATE TABLE numbers (n INT PRIMARY KEY);
    INSERT INTO numbers WITH RECURSIVE every (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM every WHERE n < 1000) SELECT n FROM every;
    INSERT INTO searches SELECT users.n, 'term', '2026-01-01' - INTERVAL days.n DAY, CONCAT('category ', days.n % 7)
        FROM numbers users JOIN numbers days ON days.n <= 20;
    INSERT INTO purchase SELECT users.n, 'thing', '2026-01-01' - INTERVAL days.n DAY, CONCAT('category ', days.n % 5)
        FROM numbers users JOIN numbers days ON days.n <= 5;
    CREATE ALGORITHM=MERGE VIEW slow_searches AS
        SELECT id, search, searched_at, category FROM searches WHERE SLEEP(0.005) = 0;";

/// The same rows are in `e2e/prove/soak/clients.py`.
const SOAK: &str = "
    USE prove; TRUNCATE searches; TRUNCATE purchase; DROP TABLE IF EXISTS reckon_events; GRANT ALL ON prove.* TO prove;
    INSERT INTO searches SELECT users.n, 'term', '2026-01-01' - INTERVAL days.n DAY, CONCAT('category ', (users.n * 7 + days.n * days.n) % 23)
        FROM numbers users JOIN numbers days ON days.n <= 20;
    INSERT INTO purchase SELECT users.n, 'thing', '2026-01-01' - INTERVAL days.n DAY,
            CONCAT('category ', (users.n * 7 + (days.n + 3) * (days.n + 3)) % 23)
        FROM numbers users JOIN numbers days ON days.n <= 5;";

/// A client in the server's container, as its administrator.
const CLIENT: &str =
    "exec $(command -v mysql || command -v mariadb) -uroot -p\"$MYSQL_ROOT_PASSWORD\" -N -n";

/// Runs the client in the server's container until its input ends.
const SESSION: &str = r#"while number=$((number + 1)); do
    for container in $(ctr --namespace k8s.io containers list --quiet "$1"); do
        ctr --namespace k8s.io tasks exec --exec-id "$0-$number" "$container" sh -c "$2" && exit
    done
    echo lost
    sleep 0.1
done"#;

/// A kind of server.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
pub enum Flavour {
    #[value(name = "MariaDB")]
    MariaDB,
    #[value(name = "MySQL")]
    MySQL,
}

/// The server in the cluster.
#[derive(Clone, Copy)]
pub struct Database<'a> {
    pub cluster: &'a Cluster,
    pub flavour: Flavour,
}

impl<'a> Database<'a> {
    /// Starts the server if it does not run, and fills the database.
    pub fn up(cluster: &'a Cluster, flavour: Flavour) -> Self {
        let database = Self { cluster, flavour };
        if flavour == Flavour::MariaDB {
            let archive = script(&mut cluster.script(&["build", "mariadb"]));
            script(&mut cluster.script(&["load-image", archive.trim()]));
            cluster.apply(include_str!("mariadb.yaml"));
        }
        cluster.eventually(Duration::from_mins(2), "the database answers", || {
            database.answers()
        });
        database.sql(&format!(
            "DROP DATABASE IF EXISTS {ACCOUNT}; CREATE DATABASE {ACCOUNT}; USE {ACCOUNT}; {TABLES}"
        ));
        database
    }

    /// Its host name in the cluster.
    pub fn host(&self) -> &'static str {
        match self.flavour {
            Flavour::MariaDB => "prove-mariadb",
            Flavour::MySQL => "mysql",
        }
    }

    /// The administrator's password.
    pub fn root_password(&self) -> &'static str {
        match self.flavour {
            Flavour::MariaDB => "only-for-a-test",
            Flavour::MySQL => "only-for-trying-out",
        }
    }

    /// The name of its pod.
    pub fn pod(&self) -> String {
        format!("{}-0", self.host())
    }

    /// The server's version.
    pub fn version(&self) -> String {
        let version = self.sql("SELECT VERSION()");
        let version = version.trim().split('-').next().unwrap();
        format!("{:?} {version}", self.flavour)
    }

    /// Runs statements as the administrator; returns their output.
    pub fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap()
    }

    fn try_sql(&self, statements: &str) -> Result<String, String> {
        let pod = self.pod();
        self.cluster
            .run(&["exec", "-i", &pod, "--", "sh", "-c", CLIENT], statements)
    }

    /// Creates the account again, with a limit on its connections (0: none).
    pub fn make_account(&self, limit: u32) {
        self.sql(&format!(
            "DROP USER IF EXISTS {ACCOUNT}; CREATE USER {ACCOUNT} IDENTIFIED BY '{PASSWORD}' WITH MAX_USER_CONNECTIONS {limit}; \
             GRANT SELECT ON prove.* TO {ACCOUNT};"
        ));
    }

    /// Fills the database that the operator creates, as soon as it exists.
    pub fn fill_provisioned(&self) {
        self.cluster
            .eventually(Duration::from_mins(2), "the database is created", || {
                let owned = format!("SELECT COUNT(*) FROM {PROVISIONED}.reckon_owner");
                self.try_sql(&owned).is_ok()
            });
        self.sql(&format!("USE {PROVISIONED}; {TABLES}"));
    }

    /// Removes the database that the operator has created, and its accounts.
    pub fn drop_provisioned(&self) {
        let drops = self.sql(&format!(
            "SELECT CONCAT('DROP USER ', QUOTE(User), '@', QUOTE(Host), ';') FROM mysql.db WHERE Db = '{PROVISIONED}'"
        ));
        self.sql(&format!("DROP DATABASE IF EXISTS {PROVISIONED}; {drops}"));
    }

    /// `MAX_USER_CONNECTIONS` of an account.
    pub fn limit_of(&self, account: &str) -> u32 {
        let query = format!("SELECT max_user_connections FROM mysql.user WHERE User = '{account}'");
        self.sql(&query).trim().parse().unwrap()
    }

    /// The name of its process.
    pub fn process(&self) -> &'static str {
        match self.flavour {
            Flavour::MariaDB => "mariadbd",
            Flavour::MySQL => "mysqld",
        }
    }

    /// Whether it answers.
    pub fn answers(&self) -> bool {
        self.try_sql("SELECT 1").is_ok()
    }

    /// Creates rows that the soak's clients can compute, and an account that may store events and create the table for
    /// them.
    pub fn fill_for_soak(&self) {
        self.sql(SOAK);
    }

    /// Changes the limit on the connections of the account.
    pub fn limit(&self, limit: u32) {
        self.sql(&format!(
            "ALTER USER {ACCOUNT} WITH MAX_USER_CONNECTIONS {limit}"
        ));
    }

    /// Changes the account's password. MySQL keeps the former one too until [`Self::discard_former_password`].
    pub fn new_password(&self, password: &str) {
        let retain = match self.flavour {
            Flavour::MariaDB => "",
            Flavour::MySQL => " RETAIN CURRENT PASSWORD",
        };
        self.sql(&format!(
            "ALTER USER {ACCOUNT} IDENTIFIED BY '{password}'{retain}"
        ));
    }

    /// The former password is no longer accepted.
    pub fn discard_former_password(&self) {
        if self.flavour == Flavour::MySQL {
            self.sql(&format!("ALTER USER {ACCOUNT} DISCARD OLD PASSWORD"));
        }
    }

    /// Connections that the server has refused since its start because of an account's limit (error 1226).
    ///
    /// MariaDB has no separate counter for them. They are the aborted connects that reached authentication and were not
    /// denied by it.
    pub fn refused(&self) -> u64 {
        let text = self.sql(match self.flavour {
            Flavour::MariaDB => {
                "SELECT CAST(SUM(IF(VARIABLE_NAME = 'ABORTED_CONNECTS', 1, -1) * VARIABLE_VALUE) AS SIGNED) \
                 FROM information_schema.GLOBAL_STATUS \
                 WHERE VARIABLE_NAME IN ('ABORTED_CONNECTS', 'ABORTED_CONNECTS_PREAUTH', 'ACCESS_DENIED_ERRORS')"
            }
            Flavour::MySQL => {
                "SELECT SUM_ERROR_RAISED FROM performance_schema.events_errors_summary_global_by_error WHERE ERROR_NUMBER = 1226"
            }
        });
        // A client may disconnect after a denial; then the sum is too small by one.
        text.trim().parse::<i64>().unwrap().max(0).unsigned_abs()
    }

    /// A session of the administrator that does not use the API server. Statements and answers have one line each. When
    /// the server ends, the session prints `lost`, and starts again.
    pub fn session(&self) -> Command {
        let container = format!(
            "labels.\"io.kubernetes.pod.name\"==\"{}\",labels.\"io.cri-containerd.kind\"==container",
            self.pod()
        );
        let name = format!("session-{}", std::process::id());
        let mut command = self
            .cluster
            .command_inside(&["sh", "-c", SESSION, &name, &container, CLIENT]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }
}

fn script(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}
