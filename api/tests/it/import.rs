//! `reckon-api import`: the resulting rows in the tables. An interruption loses or repeats no row.

mod checked_first;
mod hostile_settings;
mod lost_commit;
mod mapped;
mod one_transaction;
mod permanent_errors;
mod real;
mod side_by_side;

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::original_tables::{Collation, IdColumn, OriginalTables};
use crate::harness::process::Signal;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::{ROOT, SqlServer, flavour::Flavour};
use crate::harness::watchdog::Scratch;
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, SqliteConnection};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

const SOON: Duration = Duration::from_mins(2);
const SEARCHES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/import/searches.csv");
const PURCHASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/import/purchases.csv");
/// The sample's arguments: its searches have other names for some columns.
const SAMPLE: [&str; 8] = [
    "--searches",
    SEARCHES,
    "--purchases",
    PURCHASES,
    "--map",
    "searches.category=kind",
    "--map",
    "searched_at=when",
];
/// A number of rows whose import takes long enough to be stopped.
const MANY: usize = 200_000;

/// A database to import into.
enum Target<'a> {
    Server(&'a SqlServer, &'static str),
    File(PathBuf),
}

/// A row of either table as text: user, text, time, category, success.
type Row = (i64, Option<String>, String, Option<String>, Option<String>);

impl Target<'_> {
    fn command(&self) -> ApiCommand {
        match self {
            Self::Server(server, database) => ApiCommand::new().envs(server.environment(database)),
            Self::File(path) => ApiCommand::new().env("RECKON_DATA", path),
        }
    }

    fn import(&self, arguments: &[&str]) -> ApiCommand {
        self.command().args(["import"]).args(arguments)
    }

    /// Runs an import to its end. Returns whether it succeeded, and its output.
    async fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut import = self.import(arguments).spawn();
        let exit = import.process.exit(SOON).await;
        (exit.status.success(), import.process.logs().join("\n"))
    }

    async fn succeed(&self, arguments: &[&str]) -> String {
        let (succeeded, said) = self.run(arguments).await;
        assert!(succeeded, "{said}");
        said
    }

    async fn fail(&self, arguments: &[&str]) -> String {
        let (succeeded, said) = self.run(arguments).await;
        assert!(!succeeded, "{said}");
        said
    }

    async fn rows(&self, table: &str) -> Vec<Row> {
        let [text, time, category] = if table == "searches" {
            ["search", "searched_at", "category"]
        } else {
            ["product_name", "purchased_at", "product_category"]
        };
        match self {
            Self::Server(server, database) => {
                // The table has no primary key, so rows are read in the order of their insertion.
                let select = format!(
                    "SELECT id, {text}, CAST({time} AS CHAR), {category}, CAST(SUCCESS AS CHAR) FROM {database}.{table} USE INDEX ()"
                );
                sqlx::query_as(AssertSqlSafe(select))
                    .fetch_all(&mut server.admin().await)
                    .await
                    .unwrap()
            }
            Self::File(path) => {
                let select = format!(
                    "SELECT id, {text}, {time}, {category}, CAST(SUCCESS AS TEXT) FROM {table} ORDER BY rowid"
                );
                sqlx::query_as(AssertSqlSafe(select))
                    .fetch_all(&mut file(path).await.unwrap())
                    .await
                    .unwrap()
            }
        }
    }

    async fn count(&self, table: &str) -> usize {
        let count: i64 = match self {
            Self::Server(server, database) => {
                let count = format!("SELECT COUNT(*) FROM {database}.{table}");
                let count = sqlx::query_scalar(AssertSqlSafe(count));
                count.fetch_one(&mut server.admin().await).await.unwrap()
            }
            Self::File(path) => {
                let count = format!("SELECT COUNT(*) FROM {table}");
                let count = sqlx::query_scalar(AssertSqlSafe(count));
                count
                    .fetch_one(&mut file(path).await.unwrap())
                    .await
                    .unwrap()
            }
        };
        usize::try_from(count).unwrap()
    }

    /// The first column of a statement's result.
    async fn rows_of(&self, select: &str) -> Vec<String> {
        let Self::Server(server, database) = self else {
            panic!("a file");
        };
        let options = server.options(ROOT).database(database);
        let mut session = MySqlConnection::connect_with(&options).await.unwrap();
        sqlx::query_scalar(AssertSqlSafe(select))
            .fetch_all(&mut session)
            .await
            .unwrap()
    }

    async fn note(&self, and: &str) -> Result<usize, sqlx::Error> {
        let note =
            format!("SELECT rows_written FROM reckon_import WHERE table_name = 'purchase' {and}");
        let count: i64 = match self {
            Self::Server(server, database) => {
                let options = server.options(ROOT).database(database);
                let mut session = MySqlConnection::connect_with(&options).await?;
                let note = sqlx::query_scalar(AssertSqlSafe(note));
                note.fetch_one(&mut session).await?
            }
            Self::File(path) => {
                let note = sqlx::query_scalar(AssertSqlSafe(note));
                note.fetch_one(&mut file(path).await?).await?
            }
        };
        Ok(usize::try_from(count).unwrap())
    }

    /// Rows of `purchase` that a running import has recorded as written, unless these are all.
    async fn unfinished(&self) -> Option<usize> {
        self.note("AND rows_written < rows_total").await.ok()
    }

    /// Freezes an import when more than this many rows are written. Returns their number.
    ///
    /// The import runs for a few milliseconds at a time. This is too short to write all rows.
    async fn half_way(&self, import: &ApiProcess, more_than: usize) -> usize {
        eventually(SOON, async || {
            import.process.freeze().await;
            let noted = self.unfinished().await.filter(|noted| *noted > more_than);
            if noted.is_none() {
                import.process.thaw();
            }
            noted
        })
        .await
    }

    async fn has_note(&self) -> bool {
        self.note("").await.is_ok()
    }
}

async fn file(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnection::connect(&format!("sqlite://{}?mode=ro", path.display())).await
}

/// Why a command failed, of the lines it wrote.
fn error_line(said: &str) -> &str {
    said.lines()
        .find(|line| line.starts_with("error: "))
        .unwrap_or_default()
}

fn scratch() -> Scratch {
    Scratch::new(&std::env::temp_dir(), "reckon-import-")
}

/// A file with a header and so many rows: `id,purchased_at,product_category,product_name`, each with a user, a name and a
/// minute of its own, the last as `last` has it.
fn purchases(directory: &Scratch, rows: usize, last: &str) -> String {
    let mut text = "id,purchased_at,product_category,product_name\n".to_owned();
    for row in 1..rows {
        let (hour, minute) = (row / 60 % 24, row % 60);
        writeln!(
            text,
            "{row},2025-03-01 {hour:02}:{minute:02}:00,books,name {row}"
        )
        .unwrap();
    }
    writeln!(text, "{last}").unwrap();
    let path = directory.path().join("purchases.csv");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// A file of [`MANY`] purchases, no two of them alike, with the sample's names and categories.
fn many(directory: &Scratch) -> String {
    let mut sample = csv::Reader::from_path(PURCHASES).unwrap();
    let sample: Vec<csv::StringRecord> = sample.records().map(Result::unwrap).collect();
    let path = directory.path().join("many.csv");
    let mut file = csv::Writer::from_path(&path).unwrap();
    file.write_record(["id", "product_name", "purchased_at", "product_category"])
        .unwrap();
    for (row, like) in (0..MANY).zip(sample.iter().cycle()) {
        let (name, id) = (format!("{} no. {row}", &like[1]), row % 5000);
        let (day, hour, minute) = (1 + row % 28, row % 24, row % 60);
        let at = format!("2025-03-{day:02} {hour:02}:{minute:02}:00");
        file.write_record([&id.to_string(), &name, &at, &like[3]])
            .unwrap();
    }
    file.flush().unwrap();
    path.display().to_string()
}

/// The rows of the sample, read by the rules in the README.
fn sample() -> [Vec<Row>; 2] {
    let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let records = |path: &str| {
        let mut reader = csv::Reader::from_path(path).unwrap();
        reader.records().map(Result::unwrap).collect::<Vec<_>>()
    };
    let searches = records(SEARCHES).into_iter().map(|it| {
        let time = it[3].trim_end_matches('0').trim_end_matches('.').to_owned();
        (it[2].parse().unwrap(), None, time, value(&it[1]), None)
    });
    let purchases = records(PURCHASES).into_iter().map(|it| {
        let success = value(&it[4].replace("true", "1"));
        let time = it[2].replace('T', " ");
        (
            it[0].parse().unwrap(),
            value(&it[1]),
            time,
            value(&it[3]),
            success,
        )
    });
    [searches.collect(), purchases.collect()]
}

/// The answers of the API for the sample's users.
async fn answers(target: &Target<'_>) -> Vec<String> {
    let api = target.command().spawn();
    api.ready().await;
    let mut answers = Vec::new();
    for user in [7, 900, -3] {
        let answer = api.client().get(&format!("/recommend/{user}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answers.push(answer.body);
    }
    answers
}

#[tokio::test]
async fn a_sample_is_imported_unchanged_into_a_new_file() {
    let directory = scratch();
    let target = Target::File(directory.path().join("new/reckon.db"));
    let said = target.succeed(&SAMPLE).await;
    for line in [
        "searches.csv: ignored: shop",
        "searches.csv: left to the table's default: search, SUCCESS",
        "invalidate the caches of running processes: curl -X POST http://127.0.0.1:8000/invalidate-cache/all",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let [searches, purchases] = sample();
    assert_eq!(target.rows("searches").await, searches);
    assert_eq!(target.rows("purchase").await, purchases);
    assert!(!target.has_note().await);

    let again = target.fail(&SAMPLE).await;
    assert!(
        again.contains("error: the table searches has 12 rows already: --append adds to them"),
        "{again}"
    );
    target.succeed(&[&SAMPLE[..], &["--append"]].concat()).await;
    assert_eq!(
        target.rows("purchase").await,
        [&purchases[..], &purchases].concat()
    );
}

#[tokio::test]
async fn an_imported_sample_gives_the_same_answers_as_inserted_rows_on_mariadb() {
    let server = Flavour::MariaDb.start().await;
    let imported = Target::Server(&server, "reckon");
    imported.succeed(&SAMPLE).await;
    let [mut searches, purchases] = sample();
    for row in &mut searches {
        // The column holds whole seconds.
        row.2.truncate(19);
    }
    assert_eq!(imported.rows("searches").await, searches);
    assert_eq!(imported.rows("purchase").await, purchases);

    let filled = Target::Server(&server, "reckon_filled");
    OriginalTables::default()
        .create(&server, "reckon_filled")
        .await;
    for (table, columns, rows) in [
        (
            "searches",
            "id, search, searched_at, category, SUCCESS",
            searches,
        ),
        (
            "purchase",
            "id, product_name, purchased_at, product_category, SUCCESS",
            purchases,
        ),
    ] {
        for (id, text, time, category, success) in rows {
            let insert =
                format!("INSERT INTO reckon_filled.{table} ({columns}) VALUES (?, ?, ?, ?, ?)");
            sqlx::query(AssertSqlSafe(insert))
                .bind(id)
                .bind(text)
                .bind(time)
                .bind(category)
                .bind(success.map(|success| success == "1"))
                .execute(&mut server.admin().await)
                .await
                .unwrap();
        }
    }
    let expected = answers(&filled).await;
    assert!(expected[0].contains("GETRÄNKE"), "{}", expected[0]);
    assert_eq!(answers(&imported).await, expected);
}

#[tokio::test]
async fn a_sample_is_imported_into_existing_tables() {
    for flavour in Flavour::ALL {
        let server = flavour.start().await;
        let tables = OriginalTables {
            id: IdColumn::Int,
            extra_columns: true,
            ..OriginalTables::default()
        };
        tables.create(&server, "reckon").await;
        let target = Target::Server(&server, "reckon");
        target.succeed(&SAMPLE).await;
        assert_eq!(target.rows("purchase").await.len(), 50);
        let said = target.succeed(&[&SAMPLE[..], &["--append"]].concat()).await;
        assert!(said.contains("purchase: index exists"), "{said}");
        assert_eq!(target.rows("purchase").await.len(), 100);
    }
}

#[tokio::test]
async fn nothing_is_written_if_a_value_is_invalid() {
    let directory = scratch();
    let path = directory.path().join("wrong.csv");
    let mut text = "id,searched_at,category\n".to_owned();
    for row in 0..30 {
        writeln!(
            text,
            "{row},2025-01-01 00:00:00,books\n{row},yesterday,books"
        )
        .unwrap();
    }
    std::fs::write(&path, text).unwrap();
    let wrong = path.display().to_string();
    let arguments = ["--searches", &wrong, "--purchases", PURCHASES];

    let data = directory.path().join("reckon.db");
    let said = Target::File(data.clone()).fail(&arguments).await;
    assert!(!data.exists());
    let problems: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("wrong.csv, line"))
        .collect();
    assert_eq!(problems.len(), 20, "{said}");
    assert!(
        problems[0].contains(
            "wrong.csv, line 3, column searched_at: \"yesterday\": expected a real date and time like 2025-12-31 23:59:59"
        ),
        "{said}"
    );
    assert!(
        said.contains("error: invalid values: 30 (10 not shown); nothing was written"),
        "{said}"
    );
}

#[tokio::test]
async fn values_that_existing_tables_cannot_hold_are_rejected_before_any_is_written() {
    let server = Flavour::MariaDb.start().await;
    let tables = OriginalTables {
        id: IdColumn::Int,
        collation: Collation::Latin1,
        ..OriginalTables::default()
    };
    tables.create(&server, "reckon").await;
    let directory = scratch();
    let path = directory.path().join("searches.csv");
    let rows = "id,searched_at,category,search\n1,2025-01-01 00:00:00,Bücher für 5 €,a\n3000000000,2025-01-01 00:00:00,książki,a\n";
    std::fs::write(&path, rows).unwrap();
    let target = Target::Server(&server, "reckon");
    let said = target
        .fail(&["--searches", &path.display().to_string()])
        .await;
    for line in [
        "line 3, column id: \"3000000000\": expected -2147483648 to 2147483647 (the range of the table's column)",
        "line 3, column category: \"książki\": expected characters of latin1 (the character set of the table's column), got 'ą'",
        "error: invalid values: 2; nothing was written",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(target.rows("searches").await, []);
}

#[tokio::test]
async fn tables_without_transactions_are_rejected() {
    let server = Flavour::MariaDb.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    server
        .execute("ALTER TABLE reckon.purchase ENGINE=MyISAM")
        .await;
    let said = Target::Server(&server, "reckon").fail(&SAMPLE).await;
    assert!(
        said.contains(
            "error: the table purchase uses the engine MyISAM, which has no transactions"
        ),
        "{said}"
    );
}

#[tokio::test]
async fn a_killed_import_resumes_in_a_file() {
    let directory = scratch();
    let purchases = many(&directory);
    let arguments = ["--purchases", purchases.as_str()];
    let target = Target::File(directory.path().join("killed.db"));
    kill_and_resume(&target, &arguments).await;
    let whole = Target::File(directory.path().join("whole.db"));
    whole.succeed(&arguments).await;
    assert!(target.rows("purchase").await == whole.rows("purchase").await);
}

#[tokio::test]
async fn a_killed_import_resumes_on_mariadb() {
    let directory = scratch();
    let server = Flavour::MariaDb.start().await;
    let purchases = many(&directory);
    let arguments = ["--purchases", purchases.as_str()];
    let target = Target::Server(&server, "reckon");
    kill_and_resume(&target, &arguments).await;
    let whole = Target::File(directory.path().join("whole.db"));
    whole.succeed(&arguments).await;
    assert!(target.rows("purchase").await == whole.rows("purchase").await);
}

async fn kill_and_resume(target: &Target<'_>, arguments: &[&str]) {
    let mut import = target.import(arguments).spawn();
    let noted = target.half_way(&import, 0).await;
    import.process.kill();
    // The import of another file is rejected with the reason.
    let other = target.fail(&["--purchases", PURCHASES, "--append"]).await;
    assert!(
        other.contains("the import of another file into purchase was interrupted"),
        "{other}"
    );

    let mut import = target.import(arguments).spawn();
    target.half_way(&import, noted).await;
    import.process.signal(Signal::INT);
    import.process.thaw();
    let exit = import.process.exit(SOON).await;
    let said = import.process.logs().join("\n");
    assert!(!exit.status.success(), "{said}");
    assert!(
        said.contains("error: interrupted; purchase: ")
            && said.contains("of 200,000 rows are in; rerun the same command to resume"),
        "{said}"
    );

    let said = target.succeed(arguments).await;
    assert!(said.contains("many.csv: resuming after the "), "{said}");
    assert_eq!(target.rows("purchase").await.len(), MANY);
    assert!(!target.has_note().await);
}

#[tokio::test]
async fn an_import_resumes_when_its_database_is_available_again() {
    let directory = scratch();
    let mut server = Flavour::MariaDb.start().await;
    let purchases = many(&directory);
    let arguments = ["--purchases", purchases.as_str()];
    let mut import = Target::Server(&server, "reckon").import(&arguments).spawn();
    let target = Target::Server(&server, "reckon");
    target.half_way(&import, 0).await;
    server.process.kill();
    import.process.thaw();
    let exit = import.process.exit(SOON).await;
    let said = import.process.logs().join("\n");
    assert!(!exit.status.success(), "{said}");
    assert!(
        said.contains("error: failed to write rows ")
            && said.contains("rerun the same command to resume"),
        "{said}"
    );
    server.start().await;
    let target = Target::Server(&server, "reckon");
    target.succeed(&arguments).await;
    let names = target.rows("purchase").await;
    let mut names: Vec<_> = names.iter().map(|row| row.1.as_deref()).collect();
    assert_eq!(names.len(), MANY);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), MANY);
}

#[tokio::test]
async fn a_journal_entry_is_bound_as_text_and_never_runs_as_sql() {
    let directory = scratch();
    let path = directory.path().join("noted.db");
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut session = SqliteConnection::connect(&url).await.unwrap();
    let note = "CREATE TABLE reckon_import (table_name PRIMARY KEY, file_name, fingerprint, rows_written, rows_total); \
        INSERT INTO reckon_import VALUES ('purchase', 'it''s', 'a'' OR rows_written = 0 --', 0, 9), \
            ('searches', 'it''s', 'a'' OR rows_written = 0 --', 0, 9)";
    sqlx::raw_sql(note).execute(&mut session).await.unwrap();
    session.close().await.unwrap();
    let target = Target::File(path);
    target.succeed(&SAMPLE).await;
    assert_eq!(target.count("purchase").await, 50);
    assert!(!target.has_note().await);
}

#[tokio::test]
async fn an_import_invalidates_the_caches_of_running_processes() {
    let redis = RedisServer::running().await;
    let server = Flavour::MariaDb.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    let target = Target::Server(&server, "reckon");
    let api = target.command().envs(redis.environment()).spawn();
    api.ready().await;
    let client = api.client();
    // Both caches have the user's answer, which is empty.
    let user = first_user(PURCHASES);
    let path = format!("/recommend/{user}");
    eventually(SOON, async || {
        client.get("/health").await.json()["redis"] == "connected"
    })
    .await;
    assert!(client.get(&path).await.json()["message"].is_string());
    assert_eq!(client.get(&path).await.header("x-cache"), Some("HIT"));

    let mut import = target.import(&SAMPLE).envs(redis.environment()).spawn();
    let exit = import.process.exit(SOON).await;
    let said = import.process.logs().join("\n");
    assert!(exit.status.success(), "{said}");
    assert!(
        said.contains("the processes that use it are invalidated"),
        "{said}"
    );

    eventually(Duration::from_secs(1), async || {
        client.get(&path).await.json()["message"].is_null()
    })
    .await;
}

#[tokio::test]
async fn a_missing_acknowledgement_of_the_shared_cache_is_reported() {
    let redis = RedisServer::reserve(&[]);
    let directory = tempfile::tempdir().unwrap();
    let target = Target::File(directory.path().join("new.db"));
    let mut import = target.import(&SAMPLE).envs(redis.environment()).spawn();
    let exit = import.process.exit(SOON).await;
    let said = import.process.logs().join("\n");
    assert!(!exit.status.success(), "{said}");
    assert!(said.contains("all rows are in"), "{said}");
    assert!(said.contains("unreachable"), "{said}");
}

#[tokio::test]
async fn a_signal_ends_an_import_that_waits_for_a_shared_cache() {
    // Takes connections and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let directory = scratch();
    let target = Target::File(directory.path().join("new.db"));
    let mut import = target
        .import(&SAMPLE)
        .env("REDIS_HOST", "127.0.0.1")
        .env("REDIS_PORT", port.to_string())
        .spawn();
    let _connection = timeout(SOON, silent.accept()).await.unwrap().unwrap();
    import.process.signal(Signal::INT);
    let exit = import.process.exit(SOON).await;
    let said = import.process.logs().join("\n");
    assert!(!exit.status.success(), "{said}");
    assert!(
        said.contains(
            "error: interrupted; all rows are in, but the shared cache did not acknowledge"
        ),
        "{said}"
    );
}

/// The user of a file's first row.
fn first_user(file: &str) -> i64 {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let column = reader
        .headers()
        .unwrap()
        .iter()
        .position(|name| name == "id")
        .unwrap();
    reader.records().next().unwrap().unwrap()[column]
        .parse()
        .unwrap()
}
