//! Settings that a server makes for every session, globally or in `init_connect`, do not change an answer.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::{History, OriginalTables, insert};
use crate::harness::sql_server::Flavour;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, raw_sql};

const USERS: i64 = 80;
/// The user whose rows change.
const CHANGING: i64 = 17;
/// More rows for a statement of 8 users than [`LIMITS`] allow.
const ROWS: usize = 12;

const LIMITS: &str = "sql_select_limit = 60, max_join_size = 1, sql_big_selects = 0, sql_safe_updates = 1, max_sort_length = 64";
const MODES: &str = "sql_mode = 'ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,IGNORE_SPACE', \
     time_zone = '+13:00', completion_type = 1";

/// Two ways to set variables for every session of an account without administrative privileges.
#[derive(Clone, Copy, Debug)]
enum Way {
    Globals,
    InitConnect,
}

impl Way {
    fn hostile(self) -> String {
        match self {
            Self::Globals => format!(
                "SET GLOBAL {}, GLOBAL autocommit = 0, GLOBAL character_set_client = latin1, \
                 GLOBAL character_set_connection = latin1, GLOBAL character_set_results = latin1; \
                 SET GLOBAL TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
                format!("{LIMITS}, {MODES}").replace(", ", ", GLOBAL ")
            ),
            Self::InitConnect => format!(
                "SET GLOBAL init_connect = \"SET {LIMITS}, {MODES}; SET NAMES latin1; USE reckon_other; SET autocommit = 0; \
                 SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED; START TRANSACTION WITH CONSISTENT SNAPSHOT\""
            ),
        }
    }
}

async fn hostile_settings_of_the_server_change_no_answer(flavour: Flavour) {
    for way in [Way::Globals, Way::InitConnect] {
        let server = flavour.start().await;
        for database in ["reckon_other", "reckon"] {
            OriginalTables::default().create(&server, database).await;
        }
        // This session is opened before the settings, so its own variables are not hostile.
        let mut admin = server.admin().await;
        let padded = "ALTER TABLE reckon.searches MODIFY category CHAR(60), MODIFY searched_at TIMESTAMP NULL, ADD INDEX (id); \
                      ALTER TABLE reckon.purchase ADD INDEX (id)";
        run(&mut admin, padded).await;
        let histories: Vec<History> = (1..=USERS).map(history).collect();
        insert(&server, "reckon", &histories).await;
        let start = async || {
            let api = ApiCommand::new().envs(server.environment("reckon")).spawn();
            api.ready().await;
            api
        };
        let truth = batch(&start().await).await;
        assert_eq!(truth.as_array().unwrap().len(), 80);

        run(&mut admin, &way.hostile()).await;
        let api = start().await;
        let told = batch(&api).await;
        let wrong = differences(&truth, &told);
        println!("{flavour:?}, {way:?}: {wrong} of {USERS} answers differ");
        assert_eq!(wrong, 0, "{told}");

        let update =
            format!("UPDATE reckon.searches SET category = 'changed' WHERE id = {CHANGING}");
        run(&mut admin, &format!("START TRANSACTION; {update}")).await;
        invalidate(&api).await;
        assert_eq!(differences(&truth, &batch(&api).await), 0, "uncommitted");
        run(&mut admin, "COMMIT").await;
        invalidate(&api).await;
        // Every connection answers, also after earlier reads.
        for _ in 0..20 {
            invalidate(&api).await;
            let answer = api.client().get(&format!("/recommend/{CHANGING}")).await;
            assert!(answer.body.contains("changed"), "{}", answer.body);
        }
        assert_eq!(differences(&truth, &batch(&api).await), 1, "committed");
    }
}

on_each_flavour!(hostile_settings_of_the_server_change_no_answer);

async fn run(session: &mut MySqlConnection, sql: &str) {
    let done = session
        .execute(raw_sql(AssertSqlSafe(sql.to_owned())))
        .await;
    done.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Rows in categories of the user's own, which no single-byte character set can hold.
fn history(user: i64) -> History {
    let names: Vec<String> = (0..ROWS)
        .map(|row| format!("Bücher 書籍 {user}-{}", row / 2))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    History::newest_first(user, &names, &names[ROWS / 2..])
}

async fn batch(api: &ApiProcess) -> Value {
    let users: Vec<String> = (1..=USERS).map(|user| user.to_string()).collect();
    let path = format!("/batch-recommend?user_ids={}", users.join(","));
    let answer = api.client().get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["results"].take()
}

async fn invalidate(api: &ApiProcess) {
    let answer = api.client().post("/invalidate-cache/all").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn differences(truth: &Value, told: &Value) -> usize {
    let (truth, told) = (truth.as_array().unwrap(), told.as_array().unwrap());
    assert_eq!(truth.len(), told.len());
    truth
        .iter()
        .zip(told)
        .filter(|(truth, told)| truth != told)
        .count()
}
