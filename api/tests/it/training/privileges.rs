//! Accounts that lack a privilege, and databases without the table.

use super::place::{DATABASE, Place};
use super::{Serving, TIMEOUT, command, end, model, train};
use crate::harness::api_process::ApiCommand;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::Flavour;

const PASSWORD: &str = "the-password-of-an-account";

/// An account with these privileges.
async fn account(place: &Place, name: &str, grants: &[&str]) {
    place
        .execute(&format!(
            "CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}'"
        ))
        .await;
    for grant in grants {
        place.execute(&format!("GRANT {grant} TO {name}@'%'")).await;
    }
}

fn train_as(place: &Place, name: &str, arguments: &[&str]) -> ApiCommand {
    let command = command(place, arguments);
    command.env("DB_USER", name).env("DB_PASSWORD", PASSWORD)
}

async fn the_documented_privileges_are_enough_and_fewer_are_named(flavour: Flavour) {
    let place = Place::on(flavour).await;
    place.fill().await;
    let tables = ["SELECT ON reckon.purchase", "SELECT ON reckon.searches"];
    account(
        &place,
        "trainer",
        &[
            &tables[..],
            &["SELECT, INSERT, DELETE ON reckon.reckon_model"],
        ]
        .concat(),
    )
    .await;
    account(&place, "reader", &["SELECT ON reckon.*"]).await;

    let denied = end(train_as(&place, "reader", &[]).spawn()).await;
    println!("{}", denied.error());
    assert!(
        denied.error().starts_with(
            "this account may not publish a model: it needs SELECT, INSERT and DELETE on the table reckon_model; \
             or use --output to write the model to a file: "
        ),
        "{denied:#?}"
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("model");
    let output = file.to_str().unwrap();
    end(train_as(&place, "reader", &["--output", output]).spawn())
        .await
        .version();
    for _ in 0..4 {
        end(train_as(&place, "trainer", &[]).spawn())
            .await
            .version();
    }
    assert_eq!(place.versions().await.len(), 3);

    place.execute("DROP TABLE reckon_model").await;
    let denied = end(train_as(&place, "reader", &[]).spawn()).await;
    println!("{}", denied.error());
    assert!(
        denied
            .error()
            .starts_with("there is no table reckon_model, and this account may not create it: "),
        "{denied:#?}"
    );
    // An account with the privilege creates the table.
    train(&place, &[]).await.version();
}

async fn without_the_privilege_or_the_table_it_serves_without_a_model(flavour: Flavour) {
    let place = Place::on(flavour).await;
    place.fill().await;
    place
        .publish("unseen", &model(1, &[("toys", 0.9)]).document())
        .await;
    let tables = ["SELECT ON reckon.purchase", "SELECT ON reckon.searches"];
    account(&place, "server", &tables).await;
    for drops in [false, true] {
        if drops {
            place.execute("DROP TABLE reckon_model").await;
        }
        let user = [
            ("DB_USER", "server".into()),
            ("DB_PASSWORD", PASSWORD.into()),
        ];
        let serving = Serving::start(&place, &user).await;
        eventually(TIMEOUT, async || {
            let logs = serving.api.process.logs();
            super::line(
                &logs,
                "no model is published: users are ranked by their own history alone",
            )
        })
        .await;
        assert_eq!(serving.version(1).await, None, "{DATABASE}");
        let exposition = serving.api.exposition().await;
        assert_eq!(exposition.single("reckon_model_categories"), Some(0.0));
        assert_eq!(exposition.single("reckon_store_up"), Some(1.0));
    }
}

async fn migrate_without_the_privilege_to_create_reports_it_and_succeeds(flavour: Flavour) {
    let place = Place::on(flavour).await;
    place.fill().await;
    place.execute("DROP TABLE reckon_model").await;
    account(&place, "reader", &["SELECT ON reckon.*"]).await;
    let migrate = ApiCommand::new()
        .args(["migrate"])
        .envs(place.environment())
        .env("DB_USER", "reader")
        .env("DB_PASSWORD", PASSWORD);
    let ran = end(migrate.spawn()).await;
    assert!(ran.succeeded, "{ran:#?}");
    assert_eq!(
        ran.lines[2],
        "reckon_model: not created, because this account may not create tables; only `reckon-api train` needs it"
    );
}

on_each_flavour!(
    the_documented_privileges_are_enough_and_fewer_are_named,
    without_the_privilege_or_the_table_it_serves_without_a_model,
    migrate_without_the_privilege_to_create_reports_it_and_succeeds,
);
