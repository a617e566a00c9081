//! Trainings that end in the middle, and two at the same time: nothing is published partly, and the next training
//! succeeds.

use super::place::{DATABASE, Place};
use super::{Ran, TIMEOUT, command, end, line, model, on_each_place, train};
use crate::harness::api_process::ApiProcess;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::process::Signal;
use crate::harness::sql_server::Flavour;
use sqlx::{Connection as _, Executor as _, MySqlConnection, SqliteConnection};
use std::time::Duration;

/// A transaction of another session, for which every publication waits.
enum Blocker {
    Server(MySqlConnection),
    File(SqliteConnection),
}

impl Blocker {
    /// Begins a transaction that has published `digest` but not committed yet.
    async fn begin(place: &Place, digest: &str) -> Self {
        let document = model(5, &[("toys", 0.5)]).document();
        match place {
            Place::Server(server) => {
                let mut session = server.admin().await;
                session.execute("START TRANSACTION").await.unwrap();
                let insert =
                    sqlx::query("INSERT INTO reckon.reckon_model (digest, document) VALUES (?, ?)");
                insert
                    .bind(digest)
                    .bind(document)
                    .execute(&mut session)
                    .await
                    .unwrap();
                Self::Server(session)
            }
            Place::File(_) => {
                let mut session = place.session().await;
                session.execute("BEGIN IMMEDIATE").await.unwrap();
                let insert =
                    sqlx::query("INSERT INTO reckon_model (digest, document) VALUES (?, ?)");
                insert
                    .bind(digest)
                    .bind(document)
                    .execute(&mut session)
                    .await
                    .unwrap();
                Self::File(session)
            }
        }
    }

    async fn end(self, statement: &'static str) {
        match self {
            Self::Server(mut session) => {
                session.execute(statement).await.unwrap();
                session.close().await.unwrap();
            }
            Self::File(mut session) => {
                session.execute(statement).await.unwrap();
                session.close().await.unwrap();
            }
        }
    }
}

/// A training that has trained, and may be waiting to publish.
async fn trained(place: &Place) -> ApiProcess {
    let training = command(place, &[]).spawn();
    eventually(TIMEOUT, async || {
        let lines = training.process.logs();
        line(&lines, "no model in force to compare with")
    })
    .await;
    training
}

async fn of_two_trainings_the_one_that_publishes_later_fails(place: Place) {
    place.fill().await;
    let other = Blocker::begin(&place, "other").await;
    let training = trained(&place).await;
    other.end("COMMIT").await;
    let ran = end(training).await;
    assert_eq!(
        ran.error(),
        "another model was published while this one was trained; the newer one stays"
    );
    assert_eq!(
        place.versions().await,
        [model(5, &[("toys", 0.5)]).version()]
    );
}

async fn a_training_that_is_killed_or_terminated_has_published_nothing_and_the_next_one_succeeds(
    place: Place,
) {
    place.fill().await;
    for signal in [Signal::KILL, Signal::TERM] {
        let other = Blocker::begin(&place, "other").await;
        let training = trained(&place).await;
        training.process.signal(signal);
        let ran = end(training).await;
        assert!(!ran.succeeded, "{signal:?}: {ran:#?}");
        if signal == Signal::TERM {
            assert!(ran.error().starts_with("interrupted; "), "{ran:#?}");
        }
        other.end("ROLLBACK").await;
        // A server may notice only now that the session has ended.
        assert_eq!(place.published().await.len(), 0);
    }
    let ran = eventually(TIMEOUT, async || {
        let ran = train(&place, &[]).await;
        ran.succeeded.then_some(ran)
    })
    .await;
    assert_eq!(place.versions().await, [ran.version()]);
}

on_each_place!(
    of_two_trainings_the_one_that_publishes_later_fails,
    a_training_that_is_killed_or_terminated_has_published_nothing_and_the_next_one_succeeds,
);

/// A training that waits for the table `purchase`, which another session keeps locked.
async fn reading(place: &Place, arguments: &[&str]) -> (ApiProcess, MySqlConnection) {
    let server = place.server();
    let mut owner = server.admin().await;
    owner
        .execute("LOCK TABLES reckon.purchase WRITE")
        .await
        .unwrap();
    let training = command(place, arguments).spawn();
    eventually(TIMEOUT, async || {
        let waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT MAX(TO_DAYS%'";
        let admin = &mut server.admin().await;
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(admin).await.unwrap();
        (waiting == 1).then_some(())
    })
    .await;
    (training, owner)
}

async fn a_second_training_of_the_same_database_ends_with_an_error(flavour: Flavour) {
    let place = Place::on(flavour).await;
    place.fill().await;
    let (first, owner) = reading(&place, &[]).await;
    let second = train(&place, &[]).await;
    assert_eq!(
        second.error(),
        format!(
            "another training of this database is running: it holds the lock reckon_train.{DATABASE}; retry when it has ended"
        )
    );
    owner.close().await.unwrap();
    let version = end(first).await.version();
    assert_eq!(place.versions().await, [version]);
}

async fn a_signal_ends_a_training_that_waits_for_the_database(flavour: Flavour) {
    let place = Place::on(flavour).await;
    place.fill().await;
    for signal in [Signal::TERM, Signal::INT] {
        let (training, owner) = reading(&place, &[]).await;
        training.process.signal(signal);
        let ran = end(training).await;
        assert_eq!(ran.error(), "interrupted; nothing was published");
        owner.close().await.unwrap();
    }
    let ran = eventually(TIMEOUT, async || {
        let ran = train(&place, &[]).await;
        ran.succeeded.then_some(ran)
    })
    .await;
    assert_eq!(place.versions().await, [ran.version()]);
}

async fn a_server_that_freezes_ends_the_training(flavour: Flavour) {
    let place = Place::on(flavour).await;
    place.fill().await;
    // The server would report its own limit after 30 s.
    let (training, owner) = reading(&place, &["--statement-timeout", "10s"]).await;
    let server = place.server();
    server.process.freeze().await;
    let frozen = command(&place, &[]).spawn();
    let ran = end(training).await;
    assert_eq!(
        ran.error(),
        "failed to read the newest date of purchase: no answer within 15 s"
    );
    // A training that starts while the database is frozen.
    let ran: Ran = end(frozen).await;
    assert_eq!(
        ran.error(),
        "failed to connect to the database: no answer within 10 s"
    );
    server.process.thaw();
    owner.close().await.unwrap();
    let ran = eventually(Duration::from_mins(1), async || {
        let ran = train(&place, &[]).await;
        ran.succeeded.then_some(ran)
    })
    .await;
    assert_eq!(place.versions().await, [ran.version()]);
}

on_each_flavour!(
    a_second_training_of_the_same_database_ends_with_an_error,
    a_signal_ends_a_training_that_waits_for_the_database,
    a_server_that_freezes_ends_the_training,
);
